"""What one browser tab has open: a picture, its edits, and the way back.

Nothing here computes pictures; see `workshop`. States never change, so that worker threads may
read one while the next is made.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from torch import Tensor

from ganinv.editing.edits import Points
from ganinv.errors import ConfigError, GanInvError

STEPS_KEPT = 100  # of undo


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A picture that edits start from."""

    origin: str  # in words: a file's name, or a seed
    points: Points  # of this one picture
    photo_1CHW: Tensor | None = None  # what the encoder saw; None for what no photograph shows
    refined: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """Everything that determines the picture shown."""

    first: Source
    second: Source | None = None
    share: float = 0.0  # of the way to the second, 0–1
    strengths: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))  # in σ

    def with_strength(self, name: str, strength: float) -> "State":
        others = {key: value for key, value in self.strengths.items() if key != name}
        return replace(self, strengths={**others, name: strength} if strength else others)

    def without_edits(self) -> "State":
        return replace(self, strengths={})

    def equals(self, other: "State") -> bool:
        """Whether both show the same picture."""
        return (
            self.first is other.first
            and self.second is other.second
            and self.share == other.share
            and dict(self.strengths) == dict(other.strengths)
        )


class Session:
    """The states of one tab. A drag shows many states; only where it ends is a step to undo."""

    def __init__(self, start: State) -> None:
        self._shown = self._settled = start
        self._past: list[State] = []
        self._future: list[State] = []
        self.stop = threading.Event()  # ends a refinement that runs

    @property
    def state(self) -> State:
        return self._shown

    @property
    def can_undo(self) -> bool:
        return bool(self._past) or not self._shown.equals(self._settled)

    @property
    def can_redo(self) -> bool:
        return bool(self._future)

    def drag(self, state: State) -> None:
        """Show a state that is not yet a step."""
        self._shown = state

    def settle(self) -> None:
        """Make what is shown a step."""
        if not self._shown.equals(self._settled):
            self._past = [*self._past, self._settled][-STEPS_KEPT:]
            self._future = []
        self._settled = self._shown

    def go(self, state: State) -> None:
        """Show a state as a step of its own."""
        self.settle()
        self._shown = state
        self.settle()

    def undo(self) -> None:
        """One step back; nothing happens at the first one."""
        self.settle()
        if self._past:
            self._future.append(self._settled)
            self._shown = self._settled = self._past.pop()

    def redo(self) -> None:
        """One step forward; nothing happens at the last one."""
        self.settle()
        if self._future:
            self._past.append(self._settled)
            self._shown = self._settled = self._future.pop()

    def reset(self) -> None:
        """Take all edits off; the pictures stay. This can be undone, too."""
        self.go(replace(self._shown, strengths={}, share=0.0))

    def refined(self, before: Source, after: Source) -> bool:
        """Put a refined source in the place of the one that it came from.

        False, and nothing changes, if another picture has been opened in the meantime.
        """
        if self._shown.first is not before:
            return False
        self.go(replace(self._shown, first=after))
        return True


class FullError(GanInvError):
    """As many tabs are open as the studio allows."""


class Sessions:
    """The sessions of all tabs, a bounded number. Keys are those of the page's clients."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, key: str, start: State) -> Session:
        """Raises `FullError` if there are too many."""
        if key in self._open:
            raise ConfigError(f"session {key!r}: is open already; use another key")
        if len(self._open) >= self._limit:
            raise FullError(
                f"{self._limit} tabs of this studio are open; close one, wait half a minute, and "
                "reload this page"
            )
        self._open[key] = Session(start)
        return self._open[key]

    def close(self, key: str) -> None:
        """Forget the session and stop its refinement; nothing happens if it is closed already."""
        session = self._open.pop(key, None)
        if session is not None:
            session.stop.set()

    def close_all(self) -> None:
        for key in list(self._open):
            self.close(key)
