"""The studio's page: one for each tab, with a session of its own."""

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

from nicegui import events, ui

from ganinv.errors import GanInvError
from launch.studio.controls import (
    REACH,
    STEP,
    SliderLine,
    UpdateValue,
    button,
    caption,
    card,
    chooser,
    line,
    picture,
    take_drops,
    words_of,
)
from launch.studio.newest import Newest
from launch.studio.session import FullError, Session, Source, State
from launch.studio.shared import Studio
from launch.studio.style import CSS
from launch.studio.uploads import photograph, short_name
from launch.studio.workshop import StoppedError

Found = TypeVar("Found")
CONNECT_S = 30  # a browser that does not open the page's socket by then gets none
PROGRESS_EVERY_S = 0.2
SEEDS = 100_000  # from which a random one is drawn; short numbers can be told to others


async def show(studio: Studio) -> None:
    """Build the page for the tab that asks for it."""
    ui.add_css(CSS)
    client = ui.context.client
    try:
        await client.connected(timeout=CONNECT_S)
    except TimeoutError:
        return
    if client.is_deleted:
        return
    try:
        session = studio.sessions.open(client.id, State(first=studio.workshop.sample(0)))
    except FullError as error:
        with ui.element("main").classes("studio"):
            caption(str(error))
        return
    client.on_delete(lambda: studio.sessions.close(client.id))
    page = Page(studio, session)
    page.build()
    await page.refresh()


class Page:
    """The elements of one tab, and what happens when they are used."""

    def __init__(self, studio: Studio, session: Session) -> None:
        self._studio, self._session, self._workshop = studio, session, studio.workshop
        self._client = ui.context.client
        self._newest = Newest(self._draw)
        self._sliders: dict[str, SliderLine] = {}
        self._drawn_of: tuple[object, ...] = ()  # what the smaller pictures show
        self._progress = 0.0

    def build(self) -> None:
        with ui.element("main").classes("studio"):
            with ui.element("header"):
                with ui.element("h1"):
                    ui.label("ganinv studio")
                ui.label(self._studio.title).classes("name")
                dark = ui.dark_mode(None)
                switch = ui.button(icon="contrast", on_click=lambda: dark.set_value(not dark.value))
                switch.props("flat round dense aria-label='light or dark'")
            with ui.element("div").classes("columns"):
                with ui.element("div").classes("column-of first"):
                    self._build_pictures()
                    self._build_source()
                    self._build_steps()
                with ui.element("div").classes("column-of"):
                    for group in self._workshop.groups:
                        with card(group.title):
                            for name in group.names:
                                self._sliders[name] = self._strength_slider(name)
                    self._build_second()
                    self._build_saving()

    async def refresh(self) -> None:
        """Show the session's state."""
        state = self._session.state
        for name, slider in self._sliders.items():
            slider.put(state.strengths.get(name, 0.0))
        self._way.put(100 * state.share)
        self._way.enable(state.second is not None)
        self._away.set_enabled(state.second is not None)
        self._second_name.set_text("" if state.second is None else state.second.origin)
        self._origin.set_text(state.first.origin)
        self._enable_steps()
        await self._newest.ask()

    # --- parts of the page -------------------------------------------------------------------

    def _build_pictures(self) -> None:
        with ui.element("div").classes("card pictures"):
            with ui.element("figure").classes("tile result"):
                self._before = picture("reconstruction")
                self._after = picture("edited picture").classes("after")
                ui.label("edited · press to compare").classes("label edited")
                ui.label("before").classes("label pressed")
            with ui.element("figure").classes("tile"):
                self._photo = picture("photograph")
                self._photo_label = ui.label("photograph").classes("label")
            with ui.element("figure").classes("tile"):
                self._plain = picture("reconstruction")
                ui.label("reconstruction").classes("label")

    def _build_source(self) -> None:
        with card("Picture"):
            with line():
                pressing = button("Choose a photograph", "add_photo_alternate", main=True)
                with ui.element("div").classes("grow"):
                    self._origin = caption()
            take_drops(self._chooser(pressing, self._open_first))
            with line():
                self._seed_field(self._sample_first)
                caption("or drop a file anywhere on the page")
            with line():
                self._refine = button("Refine", "auto_fix_high", self._refine_first)
                self._bar = ui.linear_progress(0.0, show_value=False).classes("grow")
                self._stop = button("Cancel", "close", self._session.stop.set)
                self._fit = caption()
            for element in (self._bar, self._stop):
                element.set_visibility(False)

    def _build_steps(self) -> None:
        with card("Steps"), line():
            self._undo = button("Undo", "undo", self._step(self._session.undo))
            self._redo = button("Redo", "redo", self._step(self._session.redo))
            self._reset = button("Reset", "restart_alt", self._step(self._session.reset))

    def _build_second(self) -> None:
        with card("Towards a second picture"):
            with line():
                pressing = button("Choose", "add_photo_alternate")
                self._seed_field(self._sample_second)
                self._away = button("Remove", "close", self._without_second)
                self._second_name = caption()
            self._chooser(pressing, self._open_second)
            self._way = SliderLine(
                "Share of the way", least=0, most=100, step=1, form=".0f",
                drag=self._mix, settle=self._settled(self._mix),
            )  # fmt: skip
            self._way.note("%")

    def _build_saving(self) -> None:
        with card("Save"):
            with line():
                button("Picture", "image", self._save_picture, main=True)
                button("Code", "data_array", self._save_code)
                button("Settings", "tune", self._save_settings)
                pressing = button("Open settings", "folder_open")
            caption("Settings give the same picture again, here and by ganinv edit.")
            self._chooser(pressing, self._open_settings)

    def _strength_slider(self, name: str) -> SliderLine:
        drag = partial(self._strength, name)
        return SliderLine(
            words_of(name), least=-REACH, most=REACH, step=STEP, form="+.2f",
            drag=drag, settle=self._settled(drag),
        )  # fmt: skip

    def _seed_field(self, chosen: Callable[[int], Awaitable[None]]) -> None:
        field = ui.number("Seed", value=0, min=0, precision=0).props("dense outlined")
        field.classes("number")

        async def take() -> None:
            if field.value is None:
                ui.notify("Seed: type a whole number from 0 on.", type="negative")
                return
            await chosen(int(field.value))

        async def draw() -> None:
            field.set_value(secrets.randbelow(SEEDS))
            await take()

        field.on("change", take, [])
        button("Random", "casino", draw)

    def _chooser(self, pressing: ui.button, opened: Callable[[str, bytes], Awaitable[None]]) -> ui.upload:
        config = self._studio.config

        async def uploaded(event: events.UploadEventArguments) -> None:
            await opened(short_name(event.file.name), await event.file.read())

        refused = (
            f"The file was not taken: it is larger than {config.max_upload_mb} MB, or the "
            "connection broke. Choose a smaller one, or try again."
        )
        return chooser(pressing, config.max_upload_bytes, uploaded, refused)

    # --- what people do ----------------------------------------------------------------------

    async def _open_first(self, name: str, data: bytes) -> None:
        source = await self._compute(self._photograph, name, data)
        if source is not None:
            await self._go(State(first=source))

    async def _open_second(self, name: str, data: bytes) -> None:
        source = await self._compute(self._photograph, name, data)
        if source is not None:
            await self._go(replace(self._session.state, second=source, share=0.5))

    async def _sample_first(self, seed: int) -> None:
        source = await self._compute(self._workshop.sample, seed)
        if source is not None:
            await self._go(State(first=source))

    async def _sample_second(self, seed: int) -> None:
        source = await self._compute(self._workshop.sample, seed)
        if source is not None:
            await self._go(replace(self._session.state, second=source, share=0.5))

    async def _without_second(self) -> None:
        await self._go(replace(self._session.state, second=None, share=0.0))

    async def _open_settings(self, name: str, data: bytes) -> None:
        state = await self._compute(self._workshop.opened, data, name)
        if state is not None:
            await self._go(state)

    async def _strength(self, name: str, value: float) -> None:
        state = self._session.state
        if state.strengths.get(name, 0.0) != value:
            await self._drag(state.with_strength(name, value))

    async def _mix(self, percent: float) -> None:
        state = self._session.state
        if state.second is not None and state.share != percent / 100:
            await self._drag(replace(state, share=percent / 100))

    def _settled(self, drag: UpdateValue) -> UpdateValue:
        async def settle(value: float) -> None:
            moving = drag(value)
            self._session.settle()
            self._enable_steps()
            await moving

        return settle

    async def _refine_first(self) -> None:
        source, session = self._session.state.first, self._session
        session.stop.clear()
        self._progress = 0.0
        self._show_refining(True)
        timer = ui.timer(PROGRESS_EVERY_S, lambda: self._bar.set_value(self._progress))
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._studio.refinements,
                self._workshop.refine, source, self._note_progress, session.stop,
            )  # fmt: skip
        except StoppedError:
            return
        finally:
            timer.cancel()
            if not self._client.is_deleted:
                self._show_refining(False)
        if session.refined(source, found):
            await self.refresh()

    async def _save_picture(self) -> None:
        shown = await self._compute(self._workshop.show, self._session.state)
        if shown is not None:
            ui.download.content(shown.png, self._name("edited.png"), "image/png")

    async def _save_code(self) -> None:
        codes = await self._compute(self._workshop.codes, self._session.state)
        if codes is not None:
            ui.download.content(codes, self._name("code.npz"), "application/octet-stream")

    async def _save_settings(self) -> None:
        text = await self._compute(self._workshop.settings, self._session.state)
        if text is not None:
            ui.download.content(text, self._name("settings.json"), "application/json")

    # --- how it is shown ---------------------------------------------------------------------

    async def _go(self, state: State) -> None:
        self._session.go(state)
        await self.refresh()

    async def _drag(self, state: State) -> None:
        self._session.drag(state)
        for name, slider in self._sliders.items():
            slider.put(state.strengths.get(name, 0.0))
        self._way.put(100 * state.share)
        await self._newest.ask()

    def _step(self, step: Callable[[], None]) -> Callable[[], Awaitable[None]]:
        async def stepped() -> None:
            step()
            await self.refresh()

        return stepped

    async def _draw(self) -> None:
        """The picture of the newest state, and the smaller ones if they have changed."""
        state = self._session.state
        shown = await self._compute(self._workshop.show, state)
        if shown is None or self._client.is_deleted:
            return
        _put(self._after, shown.png)
        for name, slider in self._sliders.items():
            distance = shown.distances.get(name)
            slider.note("" if distance is None else f"at {distance:+.1f} σ ·")
        kept = (state.first, state.second, state.share)
        if kept == self._drawn_of:
            return
        before = shown if not state.strengths else (
            await self._compute(self._workshop.show, state.without_edits())
        )  # fmt: skip
        fit = await self._compute(self._workshop.psnr_db, state.first)
        if before is None or self._client.is_deleted:
            return
        for image in (self._before, self._plain):
            _put(image, before.png)
        photo = self._workshop.photo_png(state.first)
        _put(self._photo, photo)
        self._photo_label.set_text("no photograph" if photo is None else "photograph")
        self._fit.set_text("" if fit is None else _fit_in_words(state.first, fit))
        self._drawn_of = kept

    def _enable_steps(self) -> None:
        session = self._session
        self._undo.set_enabled(session.can_undo)
        self._redo.set_enabled(session.can_redo)
        state = session.state
        self._reset.set_enabled(bool(state.strengths) or state.share != 0)
        self._refine.set_enabled(state.first.photo_1CHW is not None and not state.first.refined)

    def _show_refining(self, on: bool) -> None:
        self._bar.set_value(0.0)
        for element, visible in (
            (self._refine, not on), (self._fit, not on), (self._bar, on), (self._stop, on),
        ):  # fmt: skip
            element.set_visibility(visible)

    def _note_progress(self, share: float) -> None:
        """Called by the thread that refines; the page looks at it from time to time."""
        self._progress = share

    def _photograph(self, name: str, data: bytes) -> Source:
        opened = photograph(data, name, self._studio.config.max_pixels)
        return self._workshop.photograph(opened, name)

    async def _compute(self, function: Callable[..., Found], *arguments: object) -> Found | None:
        """What a worker thread computes; None if it fails in a way that people can mend."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool(), partial(function, *arguments))
        except GanInvError as error:
            if not self._client.is_deleted:
                ui.notify(str(error), type="negative", multi_line=True, timeout=10_000)
            return None

    def _pool(self) -> ThreadPoolExecutor:
        return self._studio.pictures

    def _name(self, end: str) -> str:
        """Of a file to save."""
        stem = (
            self._session.state.first.origin.rpartition(".")[0] or self._session.state.first.origin
        )
        kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in stem).strip("-")
        return f"{kept or 'picture'}-{end}"


def _put(image: ui.element, png: bytes | None) -> None:
    image.props["src"] = "" if png is None else (
        "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    )  # fmt: skip


def _fit_in_words(source: Source, psnr_db: float) -> str:
    return (
        f"{psnr_db:.1f} dB to the photograph, {'refined' if source.refined else 'by the encoder'}"
    )
