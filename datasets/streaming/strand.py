"""The windows of a rank's slots of one data set: read ahead on a thread, used up step by step."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from datasets.shards.index import Index
from datasets.shards.quarantine import Quarantine
from datasets.shards.shard import Shard, load_table
from datasets.shards.splits import Split
from datasets.shards.tables import Table
from datasets.streaming.decoding import Draw
from datasets.streaming.fetch import MAX_GAP_BYTES
from datasets.streaming.plan import Plan
from datasets.streaming.slot_window import Part, SlotWindow, read_steps
from ganinv.seams.stores import Store

_MAX_WINDOW_BYTES = 2**20
_MAX_WINDOWS_BYTES = 2**28
_MAX_WINDOW_SAMPLES = 256
# Enough to cover retries of requests at any speed of training; what lies ahead when a run ends was
# read in vain, so that it is little more.
_STEPS_AHEAD = 64
_TABLES_AT_A_TIME = 16
_FEW_TABLES = 4  # starting threads for so few takes longer than to wait for each
# What a strand begins with, so that the first batch need not wait for whole windows.
_FIRST_STEPS = 2
# A run that goes on within a window leaves out what it has trained, here and there: reading that
# once more costs less than a request for every piece between.
_LARGE_GAP_BYTES = 64 * 2**10


def window_samples(index: Index, split: Split, global_batch: int) -> int:
    """Samples that are shuffled together, per slot: about 1 MiB of the shards, at most 256.

    Less for batches of more than 256, so that all slots together hold 256 MiB at most.
    """
    size_bytes = sum(shard.size_bytes for shard in index.splits[split])
    mean_bytes = max(1, size_bytes // max(1, index.samples(split)))
    window_bytes = min(_MAX_WINDOW_BYTES, _MAX_WINDOWS_BYTES // global_batch)
    return max(1, min(_MAX_WINDOW_SAMPLES, window_bytes // mean_bytes))


@dataclass(frozen=True, kw_only=True)
class WindowReader:
    """Reads windows, one at a time."""

    store: Store
    shards: Sequence[Shard]
    plan: Plan
    slots: tuple[int, ...]
    """Ours among the plan's."""
    attributes: bool
    """Whether these are read, too."""
    quarantine: Quarantine
    _tables: dict[int, Table] = field(default_factory=dict, init=False)
    """Those of the shards of the last window, by shard number."""

    def read(self, epoch: int, window: int, steps: range) -> list[SlotWindow]:
        """A window of every slot, read for those of its steps."""
        spans_B = [self.plan.window(epoch, slot, window) for slot in self.slots]
        self._load_tables({span.shard for spans in spans_B for span in spans})
        found_B = [
            SlotWindow(
                parts=[
                    Part(self.shards[shard], self._tables[shard], first, samples)
                    for shard, first, samples in spans
                ],
                order_N=self.plan.order(epoch, slot, window),
            )
            for slot, spans in zip(self.slots, spans_B, strict=True)
        ]
        read_steps(
            self.store,
            found_B,
            steps,
            self.quarantine,
            attributes=self.attributes,
            max_gap_bytes=_LARGE_GAP_BYTES if len(steps) > _FIRST_STEPS else MAX_GAP_BYTES,
        )
        return found_B

    def _load_tables(self, needed: set[int]) -> None:
        for shard in self._tables.keys() - needed:
            del self._tables[shard]
        missing = sorted(needed - self._tables.keys())
        if len(missing) <= _FEW_TABLES:
            self._tables.update((shard, self._load_table(shard)) for shard in missing)
            return
        with ThreadPoolExecutor(min(len(missing), _TABLES_AT_A_TIME)) as pool:
            loaded = pool.map(self._load_table, missing)
            self._tables.update(zip(missing, loaded, strict=True))

    def _load_table(self, shard: int) -> Table:
        return load_table(self.store, self.shards[shard])


class Strand:
    """The samples of a rank's slots of one data set, step after step from `step` on."""

    def __init__(self, reader: WindowReader, executor: Executor, step: int, most_bytes: int):
        """`step` counts over all epochs. `executor` reads, with one thread.

        At most `most_bytes` of encoded samples are kept, but always the window in use and one more.
        """
        self._reader = reader
        self._executor = executor
        shards = reader.shards
        mean_bytes = sum(s.size_bytes for s in shards) / sum(s.samples for s in shards)
        self._most_steps = int(most_bytes / (mean_bytes * len(reader.slots)))
        self._first = step
        self._to_read = step
        self._taken = step
        self._ahead: deque[tuple[range, Future[list[SlotWindow]]]] = deque()
        self._windows: list[SlotWindow] = []  # in use …
        self._steps: deque[int] = deque()  # … and their steps that are left
        self._kept_from = step

    def read_ahead(self) -> None:
        """Start what reading there is room for."""
        plan = self._reader.plan
        while True:
            epoch, step = divmod(self._to_read, plan.steps)
            window, first = divmod(step, plan.window_samples)
            end = min(plan.window_samples, plan.steps - window * plan.window_samples)
            if self._to_read == self._first:
                end = min(first + _FIRST_STEPS, end)
            steps = range(first, end)
            if self._to_read > self._taken and not self._has_room(len(steps)):
                return
            found = self._executor.submit(self._reader.read, epoch, window, steps)
            self._ahead.append((steps, found))
            self._to_read += len(steps)

    def _has_room(self, more_steps: int) -> bool:
        """Bytes are kept until their whole window has been used."""
        to_read = self._to_read + more_steps
        # At least a window, so that one is read while the other is in use.
        window_samples = self._reader.plan.window_samples
        most_ahead = window_samples + max(window_samples, _STEPS_AHEAD)
        return to_read - self._taken <= most_ahead and to_read - self._kept_from <= self._most_steps

    def is_ready(self) -> bool:
        """Whether `take` returns at once."""
        return bool(self._steps) or (bool(self._ahead) and self._ahead[0][1].done())

    def take(self) -> list[Draw]:
        """What our slots get at the next step; waits for it. `read_ahead` must have been called."""
        if not self._steps:
            self._windows = []  # before the wait, so that its bytes are let go
            self._kept_from = self._taken
            steps, found = self._ahead.popleft()
            self._windows = found.result()
            self._steps.extend(steps)
        self._taken += 1
        step = self._steps.popleft()
        return [Draw(window, step) for window in self._windows]
