"""One slot's window: its samples in the order of their steps, and the bytes that were read.

Shapes: N samples of a window, S those of the steps at hand.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.shards.quarantine import Quarantine
from datasets.shards.shard import Shard
from datasets.shards.tables import Member, Table
from datasets.streaming.fetch import NO_PIECES, Encoded, Pieces, fetch
from ganinv.seams.stores import Store


class Part(NamedTuple):
    """Consecutive samples of one shard, from number `first` on."""

    shard: Shard
    table: Table
    first: int
    samples: int

    @property
    def numbers(self) -> slice:
        return slice(self.first, self.first + self.samples)


@dataclass(kw_only=True, slots=True, eq=False)
class SlotWindow:
    """Where the samples lie; `read_steps` gets their bytes."""

    parts: Sequence[Part]
    """All its samples, in the order of the epoch."""
    order_N: NDArray[np.int64]
    """At each step of the window, the number of its sample in that order."""
    _pieces: Pieces = NO_PIECES
    """What was read, together with other slots'."""
    _images: Mapping[int, int] = field(default_factory=dict)
    """Step → number of its image among the pieces; none for those in quarantine …"""
    _texts: Mapping[int, int] = field(default_factory=dict)
    """… and of its attributes, if these were asked for: an empty piece where it has none."""

    def __len__(self) -> int:
        return len(self.order_N)

    def place(self, step: int) -> tuple[Shard, Member]:
        """What the slot gets at a step."""
        part, number = self._find(step)
        return part.shard, part.table.member(number)

    def image(self, step: int) -> memoryview | None:
        """The encoded image; None if it was not read."""
        number = self._images.get(step)
        return None if number is None else self._pieces.cut(number)

    def encoded(self, step: int) -> Encoded | None:
        """The sample of a step; None if it was not read."""
        image = self.image(step)
        if image is None:
            return None
        number = self._texts.get(step)
        text = b"" if number is None else bytes(self._pieces.cut(number))
        return Encoded(*self.place(step), image, text)

    def good_steps(self, steps: range, url: str, quarantine: Quarantine) -> Sequence[int]:
        """Those of the steps whose samples are not in quarantine."""
        bad = {part.shard.name: quarantine.keys(url, part.shard.name) for part in self.parts}
        if not any(bad.values()):
            return steps
        places = ((step, *self._find(step)) for step in steps)
        return [
            step
            for step, part, number in places
            if part.table.key(number) not in bad[part.shard.name]
        ]

    def _find(self, step: int) -> tuple[Part, int]:
        """The part that the sample of a step is in, and its number in the table."""
        number = int(self.order_N[step])
        for part in self.parts:
            if number < part.samples:
                return part, part.first + number
            number -= part.samples
        raise IndexError(step)


@dataclass
class _Wanted:
    """Pieces to fetch."""

    names: dict[str, int] = field(default_factory=dict)
    """Name of a tar → its number."""
    tars: list[NDArray[np.int64]] = field(default_factory=list)
    starts: list[NDArray[np.int64]] = field(default_factory=list)
    sizes: list[NDArray[np.int64]] = field(default_factory=list)
    count: int = 0

    def add(self, window: SlotWindow, steps: Sequence[int], kind: str) -> dict[int, int]:
        """A piece of a kind for each step, maybe an empty one; step → number of the piece."""
        tar_N = np.repeat(
            [self.names.setdefault(part.shard.name, len(self.names)) for part in window.parts],
            [part.samples for part in window.parts],
        )
        start_N, size_N = (
            np.concatenate([getattr(part.table, column)[part.numbers] for part in window.parts])
            for column in (f"{kind}_start", f"{kind}_bytes")
        )
        numbers_S = window.order_N[np.array(steps, np.int64)]
        self.tars.append(tar_N[numbers_S])
        self.starts.append(start_N[numbers_S])
        self.sizes.append(size_N[numbers_S])
        first, self.count = self.count, self.count + len(steps)
        return dict(zip(steps, range(first, self.count), strict=True))

    def fetch(self, store: Store, max_gap_bytes: int) -> Pieces:
        if not self.count:
            return NO_PIECES
        tar_P, start_P, size_P = map(np.concatenate, (self.tars, self.starts, self.sizes))
        return fetch(store, list(self.names), tar_P, start_P, size_P, max_gap_bytes)


def read_steps(
    store: Store,
    windows: Iterable[SlotWindow],
    steps: range,
    quarantine: Quarantine,
    *,
    attributes: bool,
    max_gap_bytes: int,
) -> None:
    """Read what the windows hold for the steps, by one call of `read_ranges` for all of them.

    Samples in quarantine are not read. `max_gap_bytes`: see `fetch`.
    """
    windows = list(windows)
    wanted = _Wanted()
    for window in windows:
        good = window.good_steps(steps, store.url, quarantine)
        window._images = wanted.add(window, good, "image")
        if attributes:
            window._texts = wanted.add(window, good, "json")
    pieces = wanted.fetch(store, max_gap_bytes)
    for window in windows:
        window._pieces = pieces
