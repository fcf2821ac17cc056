"""What people do in one tab: each of them computes in a worker thread and changes the session."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from nicegui import ui

from ganinv.errors import GanInvError
from launch.studio.session import Session, Source, State
from launch.studio.shared import Studio
from launch.studio.uploads import photograph
from launch.studio.workshop import StoppedError

Found = TypeVar("Found")
MESSAGE_MS = 12_000


class Desk:
    """A tab's session with the ways to change it.

    `changed` is called after each step, `moved` while a slider moves.
    """

    def __init__(
        self,
        studio: Studio,
        session: Session,
        changed: Callable[[], Awaitable[None]],
        moved: Callable[[], Awaitable[None]],
    ) -> None:
        self.studio, self.session, self.workshop = studio, session, studio.workshop
        self.progress = 0.0  # of a refinement, 0–1; its thread writes it
        self._changed, self._moved = changed, moved
        self._client = ui.context.client

    def is_closed(self) -> bool:
        """Whether the tab is gone, so that nothing can be shown any more."""
        return self._client.is_deleted

    async def compute(self, function: Callable[..., Found], *arguments: object) -> Found | None:
        """What a worker thread computes; None, and a message, if people can help."""
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self.studio.pictures, partial(function, *arguments)
            )
        except GanInvError as error:
            if not self.is_closed():
                ui.notify(str(error), type="negative", multi_line=True, timeout=MESSAGE_MS)
            return None

    async def go(self, state: State) -> None:
        self.session.go(state)
        await self._changed()

    async def step(self, taken: Callable[[], None]) -> None:
        """Undo, redo or reset."""
        taken()
        await self._changed()

    async def open_first(self, name: str, data: bytes) -> None:
        await self._first(await self.compute(self._photograph, name, data))

    async def open_second(self, name: str, data: bytes) -> None:
        await self._second(await self.compute(self._photograph, name, data))

    async def sample_first(self, seed: int) -> None:
        await self._first(await self.compute(self.workshop.sample, seed))

    async def sample_second(self, seed: int) -> None:
        await self._second(await self.compute(self.workshop.sample, seed))

    async def without_second(self) -> None:
        await self.go(replace(self.session.state, second=None, share=0.0))

    async def open_settings(self, name: str, data: bytes) -> None:
        state = await self.compute(self.workshop.opened, data, name)
        if state is not None:
            await self.go(state)

    async def strength(self, name: str, value: float) -> None:
        """An edit, in σ."""
        state = self.session.state
        if state.strengths.get(name, 0.0) != value:
            self.session.drag(state.with_strength(name, value))
            await self._moved()

    async def mix(self, percent: float) -> None:
        """The share of the way to the second picture."""
        state = self.session.state
        if state.second is not None and state.share != percent / 100:
            self.session.drag(replace(state, share=percent / 100))
            await self._moved()

    async def refine(self) -> None:
        """Refine the first picture; `session.stop` ends it without a result."""
        source, session = self.session.state.first, self.session
        session.stop.clear()
        self.progress = 0.0
        work = partial(self.workshop.refine, source, self._note_progress, session.stop)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self.studio.refinements, work)
        except StoppedError:
            return
        if session.refined(source, found) and not self.is_closed():
            await self._changed()

    async def save_picture(self) -> None:
        shown = await self.compute(self.workshop.show, self.session.state)
        self._download(None if shown is None else shown.png, "edited.png", "image/png")

    async def save_code(self) -> None:
        codes = await self.compute(self.workshop.codes, self.session.state)
        self._download(codes, "code.npz", "application/octet-stream")

    async def save_settings(self) -> None:
        text = await self.compute(self.workshop.settings, self.session.state)
        self._download(text, "settings.json", "application/json")

    async def _first(self, source: Source | None) -> None:
        if source is not None:
            await self.go(State(first=source))

    async def _second(self, source: Source | None) -> None:
        if source is not None:
            await self.go(replace(self.session.state, second=source, share=0.5))

    def _photograph(self, name: str, data: bytes) -> Source:
        opened = photograph(data, name, self.studio.config.max_pixels, self.workshop.model.kind)
        return self.workshop.photograph(opened, name)

    def _note_progress(self, share: float) -> None:
        self.progress = share

    def _download(self, content: bytes | str | None, end: str, kind: str) -> None:
        if content is None or self.is_closed():
            return
        origin = self.session.state.first.origin
        stem = origin.rpartition(".")[0] or origin
        kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in stem).strip("-")
        ui.download.content(content, f"{kept or 'picture'}-{end}", kind)
