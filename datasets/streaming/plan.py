"""The order in which samples are read: a pure function of the counts, the seed and the epoch.

Shards are permuted per epoch and laid end to end, which gives one sequence of N positions. Slot i
of the global batch of B owns the S = N // B positions from i·S on. Each slot cuts its positions
into windows of consecutive positions, and shuffles each window. Three properties follow: every
world size sees the same samples, because the plan does not depend on ranks; a slot reads only its
own range; and seeking to a step costs the same for every step.
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

_SHARDS, _WINDOWS = 0, 1  # purposes of the random numbers
_UINT64_MASK = 2**64 - 1


class Span(NamedTuple):
    """`samples` consecutive samples of shard number `shard`, from number `first` on."""

    shard: int
    first: int
    samples: int


class SampleAddress(NamedTuple):
    """Sample number `sample` of shard number `shard`."""

    shard: int
    sample: int


@dataclass(frozen=True)
class _Layout:
    """The positions of the shards in one epoch."""

    shards: NDArray[np.int64]
    """Shard numbers in the order of this epoch."""
    ends: list[int]
    """For each of `shards`, the position after its last sample."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The order of one data set. Raises `ConfigError` for fewer samples than `global_batch`."""

    shard_samples: Sequence[int]
    """Number of samples of each shard."""
    seed: int
    """Seed of the order; any integer."""
    global_batch: int
    """B: samples of one step, over all ranks."""
    window_samples: int
    """Samples of a slot that are shuffled together, and held in memory together."""
    _last: dict[int, _Layout] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Cache: number of the epoch used last → its layout."""

    def __post_init__(self) -> None:
        if self.global_batch < 1:
            raise ConfigError(f"train.global_batch={self.global_batch} must be at least 1")
        assert self.window_samples >= 1
        if sum(self.shard_samples) < self.global_batch:
            raise ConfigError(
                f"train.global_batch={self.global_batch} exceeds the {sum(self.shard_samples)}"
                " samples of the data set, and an epoch needs at least one whole batch; lower it,"
                " or build a larger data set"
            )

    @cached_property
    def steps(self) -> int:
        """S: whole batches per epoch. Fewer than B samples are left out, others in each epoch."""
        return sum(self.shard_samples) // self.global_batch

    def sample(self, epoch: int, step: int, slot: int) -> SampleAddress:
        """The sample of slot `slot` in batch number `step` of `epoch`."""
        window, step_in_window = divmod(step, self.window_samples)
        first, count = self._bounds(slot, window)
        position = first + int(self._permutation(epoch, slot, window, count)[step_in_window])
        layout = self._layout(epoch)
        index = bisect_right(layout.ends, position)
        start = layout.ends[index - 1] if index else 0
        return SampleAddress(int(layout.shards[index]), position - start)

    def window(self, epoch: int, slot: int, window: int) -> list[Span]:
        """The spans of samples that make up window number `window` of a slot, not shuffled."""
        first, count = self._bounds(slot, window)
        layout = self._layout(epoch)
        spans = []
        index = bisect_right(layout.ends, first)
        while count:
            start = layout.ends[index - 1] if index else 0
            taken = min(count, layout.ends[index] - first)
            if taken:  # an empty shard has no positions
                spans.append(Span(int(layout.shards[index]), first - start, taken))
            first, count, index = first + taken, count - taken, index + 1
        return spans

    def order(self, epoch: int, slot: int, window: int) -> NDArray[np.int64]:
        """For each step of a window, the number of its sample, counted through the window's spans.

        Agrees with `sample` at every step.
        """
        _, count = self._bounds(slot, window)
        return self._permutation(epoch, slot, window, count)

    def _bounds(self, slot: int, window: int) -> tuple[int, int]:
        """The first position of a window, and its number of samples."""
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
    """A permutation of `range(count)` that never changes between versions.

    NumPy guarantees stable raw numbers of a bit generator over its versions, but no stable
    `Generator.permutation`. So this function sorts raw numbers.
    """
    # The low word of the counter counts the numbers drawn, so streams of distinct counters never
    # overlap.
    bits = np.random.Philox(
        key=np.array([seed & _UINT64_MASK, purpose], np.uint64),
        counter=np.array([0, *counter], np.uint64),
    )
    return np.argsort(bits.random_raw(count), kind="stable")
