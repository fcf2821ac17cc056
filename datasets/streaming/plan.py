"""The order in which samples are read: a pure function of the counts, the seed and the epoch.

Shards are permuted per epoch and laid end to end, which gives one sequence of N positions. Of a
global batch of B, slot i owns the S = N // B positions from i·S on, and shuffles them in windows
of consecutive ones. Nothing here knows of ranks, so every world size sees the same samples; a
slot reads its own range only; and any step is found without going through those before it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganinv.errors import ConfigError

_SHARDS, _WINDOWS = 0, 1  # purposes of random numbers
_UINT64_MASK = 2**64 - 1


class Span(NamedTuple):
    """`samples` consecutive samples of shard number `shard`, from number `first` on."""

    shard: int
    first: int
    samples: int


class Place(NamedTuple):
    """Sample number `sample` of shard number `shard`."""

    shard: int
    sample: int


@dataclass(frozen=True)
class _Layout:
    """Where the shards of one epoch lie."""

    shards: NDArray[np.int64]
    """Shard numbers in the order of this epoch."""
    ends: list[int]
    """For each of those, the position after its last sample."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Raises `ConfigError` if there are fewer samples than `global_batch`."""

    shard_samples: Sequence[int]
    """Samples of each shard."""
    seed: int
    """Of the order; any integer."""
    global_batch: int
    """B: samples of one step, over all ranks."""
    window_samples: int
    """Samples that are shuffled among themselves, and held in memory together, per slot."""
    _last: dict[int, _Layout] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The layout of the epoch asked for last, by its number."""

    def __post_init__(self) -> None:
        if self.global_batch < 1:
            raise ConfigError(f"train.global_batch={self.global_batch} must be at least 1")
        assert self.window_samples >= 1
        if sum(self.shard_samples) < self.global_batch:
            raise ConfigError(
                f"train.global_batch={self.global_batch} exceeds the {sum(self.shard_samples)}"
                " samples there are, and an epoch needs one whole batch; lower it, or build a"
                " larger data set"
            )

    @cached_property
    def steps(self) -> int:
        """S: whole batches of an epoch. Fewer than B samples are left out, others each epoch."""
        return sum(self.shard_samples) // self.global_batch

    def sample(self, epoch: int, step: int, slot: int) -> Place:
        """What slot `slot` of the batch `step` of `epoch` is."""
        window, place = divmod(step, self.window_samples)
        first, count = self._bounds(slot, window)
        position = first + int(self._permutation(epoch, slot, window, count)[place])
        layout = self._layout(epoch)
        index = bisect_right(layout.ends, position)
        start = layout.ends[index - 1] if index else 0
        return Place(int(layout.shards[index]), position - start)

    def window(self, epoch: int, slot: int, window: int) -> list[Span]:
        """The contiguous pieces that make up a window of a slot."""
        first, count = self._bounds(slot, window)
        layout = self._layout(epoch)
        spans = []
        index = bisect_right(layout.ends, first)
        while count:
            start = layout.ends[index - 1] if index else 0
            taken = min(count, layout.ends[index] - first)
            if taken:  # an empty shard owns no position
                spans.append(Span(int(layout.shards[index]), first - start, taken))
            first, count, index = first + taken, count - taken, index + 1
        return spans

    def order(self, epoch: int, slot: int, window: int) -> NDArray[np.int64]:
        """For each step of a window, the number of its sample in the order of its spans.

        Step for step what `sample` says.
        """
        _, count = self._bounds(slot, window)
        return self._permutation(epoch, slot, window, count)

    def _bounds(self, slot: int, window: int) -> tuple[int, int]:
        """The first position of a window, and the number of its samples."""
        assert 0 <= slot < self.global_batch
        assert 0 <= window * self.window_samples < self.steps
        first = window * self.window_samples
        return slot * self.steps + first, min(self.window_samples, self.steps - first)

    def _layout(self, epoch: int) -> _Layout:
        if (last := self._last.get(epoch)) is not None:
            return last
        shards = _permutation(self.seed, _SHARDS, (epoch, 0, 0), len(self.shard_samples))
        ends = list(accumulate(self.shard_samples[i] for i in shards))
        self._last.clear()
        return self._last.setdefault(epoch, _Layout(shards, ends))

    def _permutation(self, epoch: int, slot: int, window: int, count: int) -> NDArray[np.int64]:
        return _permutation(self.seed, _WINDOWS, (epoch, slot, window), count)


def _permutation(
    seed: int, purpose: int, counter: tuple[int, int, int], count: int
) -> NDArray[np.int64]:
    """A permutation of `range(count)`, the same one for ever.

    NumPy keeps the raw numbers of a bit generator stable over its versions, but not what
    `Generator.permutation` makes of them; hence sorting raw numbers.
    """
    # The low word of the counter counts the numbers drawn, so distinct counters never overlap.
    bits = np.random.Philox(
        key=np.array([seed & _UINT64_MASK, purpose], np.uint64),
        counter=np.array([0, *counter], np.uint64),
    )
    return np.argsort(bits.random_raw(count), kind="stable")
