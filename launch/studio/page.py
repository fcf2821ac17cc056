"""The studio's page: one for each tab, with a session of its own."""

from collections.abc import Awaitable, Callable
from functools import partial

from nicegui import events, ui

from launch.studio.controls import (
    REACH,
    STEP,
    SeedField,
    SliderLine,
    UpdateValue,
    button,
    caption,
    card,
    chooser,
    line,
    take_drops,
    words_of,
)
from launch.studio.desk import Desk
from launch.studio.newest import Newest
from launch.studio.pictures import PROGRESS_EVERY_S, Pictures, RefineButton
from launch.studio.session import FullError, Session, Source, State
from launch.studio.shared import Studio
from launch.studio.style import CSS
from launch.studio.uploads import short_name

CONNECT_S = 30  # a browser that does not open the page's socket by then gets none


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
    """The elements of one tab, and how they show its session."""

    def __init__(self, studio: Studio, session: Session) -> None:
        self._studio, self._session, self._workshop = studio, session, studio.workshop
        self._desk = Desk(studio, session, self.refresh, self._follow)
        self._newest = Newest(self._draw)
        self._sliders: dict[str, SliderLine] = {}
        self._drawn_of: tuple[object, ...] = ()  # what the smaller pictures show

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
                    self._pictures = Pictures()
                    self._build_source()
                with ui.element("div").classes("column-of"):
                    self._build_edits()
                    self._build_second()
                    self._build_saving()

    def _build_source(self) -> None:
        desk, session = self._desk, self._session
        with card("Picture"):
            with line():
                pressing = button("Choose a photograph", "add_photo_alternate", main=True)
                caption("or drop one anywhere")
            take_drops(self._chooser(pressing, desk.open_first))
            with line():
                SeedField(0, desk.sample_first)
            self._origin = caption()
            with line():
                self._refine = RefineButton(self._refine_first, session.stop.set)
            with line():
                self._undo = button("Undo", "undo", partial(desk.step, session.undo))
                self._redo = button("Redo", "redo", partial(desk.step, session.redo))
                self._reset = button("Reset", "restart_alt", partial(desk.step, session.reset))

    def _build_edits(self) -> None:
        for group in self._workshop.groups:
            with card(group.title):
                if group is self._workshop.groups[0]:
                    caption("By how many σ the code moves; in grey, where it lies then.")
                for name in group.names:
                    drag = partial(self._desk.strength, name)
                    self._sliders[name] = SliderLine(
                        words_of(name), least=-REACH, most=REACH, step=STEP, form="+.2f",
                        drag=drag, settle=self._settled(drag),
                    )  # fmt: skip

    def _build_second(self) -> None:
        desk = self._desk
        with card("Towards a second picture"):
            with line():
                pressing = button("Choose", "add_photo_alternate")
                SeedField(None, desk.sample_second)
                self._away = button("Remove", "close", desk.without_second)
            self._chooser(pressing, desk.open_second)
            self._way = SliderLine(
                "Share of the way", least=0, most=100, step=1, form=".0f",
                drag=desk.mix, settle=self._settled(desk.mix),
            )  # fmt: skip

    def _build_saving(self) -> None:
        desk = self._desk
        with card("Save"):
            with line():
                button("Picture", "image", desk.save_picture, main=True)
                button("Code", "data_array", desk.save_code)
                button("Settings", "tune", desk.save_settings)
                pressing = button("Open settings", "folder_open")
            caption("Settings give the same picture again, here and with ganinv edit.")
            self._chooser(pressing, desk.open_settings)

    def _chooser(
        self, pressing: ui.button, opened: Callable[[str, bytes], Awaitable[None]]
    ) -> ui.upload:
        config = self._studio.config

        async def uploaded(event: events.UploadEventArguments) -> None:
            await opened(short_name(event.file.name), await event.file.read())

        refused = (
            f"The file was not taken: it is larger than {config.max_upload_mb} MB, or the "
            "connection broke. Choose a smaller one, or try again."
        )
        return chooser(pressing, config.max_upload_bytes, uploaded, refused)

    async def refresh(self) -> None:
        """Show the session's state."""
        state = self._session.state
        second = state.second is not None
        self._way.show(second)
        self._way.note("%" if state.second is None else f"% to {state.second.origin}")
        self._away.set_visibility(second)
        self._enable_steps()
        await self._follow()

    async def _follow(self) -> None:
        """Show the state while a slider moves: values at once, the newest picture soon."""
        state = self._session.state
        for name, slider in self._sliders.items():
            slider.put(state.strengths.get(name, 0.0))
        self._way.put(round(100 * state.share))
        await self._newest.ask()

    async def _draw(self) -> None:
        """The picture of the newest state, and the smaller ones if they have changed."""
        state, compute = self._session.state, self._desk.compute
        shown = await compute(self._workshop.show, state)
        if shown is None or self._desk.is_closed():
            return
        self._pictures.put_edited(shown.png)
        for name, slider in self._sliders.items():
            distance = shown.distances.get(name)
            slider.note("" if distance is None else f"at {round(distance, 1) + 0.0:+.1f} σ")
        kept = (state.first, state.second, state.share)
        if kept == self._drawn_of:
            return
        fit = await compute(self._workshop.psnr_db, state.first)
        before = shown
        if state.strengths:
            before = await compute(self._workshop.show, state.without_edits()) or shown
        if self._desk.is_closed():
            return
        self._pictures.put_source(before.png, self._workshop.photo_png(state.first))
        self._origin.set_text(_about(state.first, fit))
        self._drawn_of = kept

    def _settled(self, drag: UpdateValue) -> UpdateValue:
        async def settle(value: float) -> None:
            await drag(value)
            self._session.settle()
            self._enable_steps()

        return settle

    def _enable_steps(self) -> None:
        session, state = self._session, self._session.state
        self._undo.set_enabled(session.can_undo)
        self._redo.set_enabled(session.can_redo)
        self._reset.set_enabled(bool(state.strengths) or state.share != 0)
        self._refine.enable(state.first.photo_1CHW is not None and not state.first.refined)

    async def _refine_first(self) -> None:
        self._refine.show(True)
        timer = ui.timer(PROGRESS_EVERY_S, lambda: self._refine.put(self._desk.progress))
        try:
            await self._desk.refine()
        finally:
            timer.cancel()
            if not self._desk.is_closed():
                self._refine.show(False)


def _about(source: Source, psnr_db: float | None) -> str:
    if psnr_db is None:
        return source.origin
    by = "refined" if source.refined else "by the encoder"
    return f"{source.origin}: {psnr_db:.1f} dB, {by}"
