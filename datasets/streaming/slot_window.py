"""One slot's window: its samples in the order of their steps, and their bytes once read.

Shapes: N samples of a window, S samples of the steps to read, P pieces to fetch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.shards.quarantine import Quarantine
from datasets.shards.shard import Shard
from datasets.shards.tables import Member, SampleTable
from datasets.streaming.fetch import NO_PIECES, EncodedSample, Pieces, fetch
from ganinv.seams.stores import Store


class ShardSlice(NamedTuple):
    """Consecutive samples of one shard: a `datasets.streaming.plan.Span` with its table."""

    shard: Shard
    table: SampleTable
    first: int
    """Number of the first sample in the table."""
    samples: int
    """How many samples."""

    @property
    def rows(self) -> slice:
        """The samples' rows of the table."""
        return slice(self.first, self.first + self.samples)


@dataclass(kw_only=True, slots=True, eq=False)
class SlotWindow:
    """The samples of one slot's window. `read_steps` reads their bytes."""

    slices: Sequence[ShardSlice]
    """All samples of the window, in the order of the epoch."""
    order_N: NDArray[np.int64]
    """For each step of the window, the number of its sample in `slices`, counted through."""
    _pieces: Pieces = NO_PIECES
    """The bytes that were read, shared with other slots."""
    _images: Mapping[int, int] = field(default_factory=dict)
    """Step → number of the piece that holds its image. Samples in quarantine have none."""
    _texts: Mapping[int, int] = field(default_factory=dict)
    """Step → number of the piece that holds its attributes (maybe empty), if they were read."""

    def __len__(self) -> int:
        return len(self.order_N)

    def sample(self, step: int) -> tuple[Shard, Member]:
        """Where the sample of a step is stored."""
        found, number = self._find(step)
        return found.shard, found.table.member(number)

    def image(self, step: int) -> memoryview | None:
        """The encoded image; None if it was not read."""
        number = self._images.get(step)
        return None if number is None else self._pieces.cut(number)

    def encoded(self, step: int) -> EncodedSample | None:
        """The sample of a step; None if it was not read."""
        image = self.image(step)
        if image is None:
            return None
        number = self._texts.get(step)
        text = b"" if number is None else bytes(self._pieces.cut(number))
        return EncodedSample(*self.sample(step), image, text)

    def good_steps(self, steps: range, url: str, quarantine: Quarantine) -> Sequence[int]:
        """The steps whose samples are not in quarantine."""
        bad = {s.shard.name: quarantine.keys(url, s.shard.name) for s in self.slices}
        if not any(bad.values()):
            return steps
        found = ((step, *self._find(step)) for step in steps)
        return [
            step
            for step, shard_slice, number in found
            if shard_slice.table.key(number) not in bad[shard_slice.shard.name]
        ]

    def _find(self, step: int) -> tuple[ShardSlice, int]:
        """The slice that holds the sample of a step, and the number of the sample in its table."""
        number = int(self.order_N[step])
        for shard_slice in self.slices:
            if number < shard_slice.samples:
                return shard_slice, shard_slice.first + number
            number -= shard_slice.samples
        raise IndexError(step)


@dataclass
class _PiecesToFetch:
    """Collects pieces of many windows, to fetch them by one call."""

    names: dict[str, int] = field(default_factory=dict)
    """Name of each tar → its number."""
    tars: list[NDArray[np.int64]] = field(default_factory=list)
    starts: list[NDArray[np.int64]] = field(default_factory=list)
    sizes: list[NDArray[np.int64]] = field(default_factory=list)
    count: int = 0

    def add(self, window: SlotWindow, steps: Sequence[int], kind: str) -> dict[int, int]:
        """Add one piece per step, maybe an empty one; returns step → number of the piece.

        `kind` is "image" or "json", as in the columns of the table.
        """
        slices = window.slices
        tar_N = np.repeat(
            [self.names.setdefault(s.shard.name, len(self.names)) for s in slices],
            [s.samples for s in slices],
        )
        start_N, size_N = (
            np.concatenate([getattr(s.table, column)[s.rows] for s in slices])
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
    """Read the samples of the given steps of all windows, by one call of `read_ranges`.

    Skips samples in quarantine. `max_gap_bytes`: see `fetch`.
    """
    windows = list(windows)
    wanted = _PiecesToFetch()
    for window in windows:
        good = window.good_steps(steps, store.url, quarantine)
        window._images = wanted.add(window, good, "image")
        if attributes:
            window._texts = wanted.add(window, good, "json")
    pieces = wanted.fetch(store, max_gap_bytes)
    for window in windows:
        window._pieces = pieces
