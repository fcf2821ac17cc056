"""Reading a rank's slots of one data set: windows are read ahead on a thread, then used by step."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from datasets.shards.index import Index
from datasets.shards.quarantine import Quarantine
from datasets.shards.shard import Shard, load_table
from datasets.shards.splits import Split
from datasets.shards.tables import SampleTable
from datasets.streaming.decoding import WindowStep
from datasets.streaming.fetch import MAX_GAP_BYTES
from datasets.streaming.plan import Plan
from datasets.streaming.slot_window import ShardSlice, SlotWindow, read_steps
from ganinv.seams.stores import Store

_MAX_WINDOW_BYTES = 2**20
_MAX_WINDOWS_BYTES = 2**28
_MAX_WINDOW_SAMPLES = 256
# Enough to cover retries of requests at any training speed. Not much more than that, because steps
# that are ahead when a run ends were read in vain.
_STEPS_AHEAD = 64
_TABLE_THREADS = 16
_FEW_TABLES = 4  # for so few tables, starting threads takes longer than loading them in turn
# The first read is short, so that the first batch need not wait for whole windows.
_FIRST_STEPS = 2
# A run that resumes within a window needs scattered samples of the window. Reading the trained
# samples between them again costs less than one request per remaining piece.
_LARGE_GAP_BYTES = 64 * 2**10


def window_samples(index: Index, split: Split, global_batch: int) -> int:
    """How many samples of a slot are shuffled together: about 1 MiB of samples, at most 256.

    For a `global_batch` above 256 fewer, so that the windows of all slots hold 256 MiB at most.
    """
    size_bytes = sum(shard.size_bytes for shard in index.splits[split])
    mean_bytes = max(1, size_bytes // max(1, index.samples(split)))
    window_bytes = min(_MAX_WINDOW_BYTES, _MAX_WINDOWS_BYTES // global_batch)
    return max(1, min(_MAX_WINDOW_SAMPLES, window_bytes // mean_bytes))


@dataclass(frozen=True, kw_only=True)
class WindowReader:
    """Reads the same window of all slots at a time."""

    store: Store
    shards: Sequence[Shard]
    plan: Plan
    slots: tuple[int, ...]
    """The plan's slots that this rank reads."""
    attributes: bool
    """Whether to read attributes too."""
    quarantine: Quarantine
    _tables: dict[int, SampleTable] = field(default_factory=dict, init=False)
    """Tables of the shards of the last window, by shard number."""

    def read(self, epoch: int, window: int, steps: range) -> list[SlotWindow]:
        """Window number `window` of every slot, with the bytes of its steps `steps`."""
        spans_B = [self.plan.window(epoch, slot, window) for slot in self.slots]
        self._load_tables({span.shard for spans in spans_B for span in spans})
        found_B = [
            SlotWindow(
                slices=[
                    ShardSlice(self.shards[shard], self._tables[shard], first, samples)
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
        with ThreadPoolExecutor(min(len(missing), _TABLE_THREADS)) as pool:
            loaded = pool.map(self._load_table, missing)
            self._tables.update(zip(missing, loaded, strict=True))

    def _load_table(self, shard: int) -> SampleTable:
        return load_table(self.store, self.shards[shard])


class SlotReader:
    """The samples of a rank's slots of one data set, step by step, beginning at `step`."""

    def __init__(self, windows: WindowReader, executor: Executor, step: int, max_bytes: int):
        """`step` counts over all epochs. `executor` has one thread and reads.

        Keeps at most `max_bytes` of encoded samples, but always the window in use and one more.
        """
        self._window_reader = windows
        self._executor = executor
        shards = windows.shards
        mean_bytes = sum(s.size_bytes for s in shards) / sum(s.samples for s in shards)
        self._max_steps = int(max_bytes / (mean_bytes * len(windows.slots)))
        self._first = step
        self._to_read = step
        self._taken = step
        self._ahead: deque[tuple[range, Future[list[SlotWindow]]]] = deque()
        self._windows: list[SlotWindow] = []  # the windows in use
        self._steps: deque[int] = deque()  # their remaining steps
        self._kept_from = step

    def read_ahead(self) -> None:
        """Submit as many reads as there is room for."""
        plan = self._window_reader.plan
        while True:
            epoch, step = divmod(self._to_read, plan.steps)
            window, first = divmod(step, plan.window_samples)
            end = min(plan.window_samples, plan.steps - window * plan.window_samples)
            if self._to_read == self._first:
                end = min(first + _FIRST_STEPS, end)
            steps = range(first, end)
            if self._to_read > self._taken and not self._has_room(len(steps)):
                return
            found = self._executor.submit(self._window_reader.read, epoch, window, steps)
            self._ahead.append((steps, found))
            self._to_read += len(steps)

    def _has_room(self, more_steps: int) -> bool:
        """Whether `more_steps` may be read now. A window's bytes are kept until it is used up."""
        to_read = self._to_read + more_steps
        # At least one window ahead, so that one window is read while another is in use.
        window_samples = self._window_reader.plan.window_samples
        max_ahead = window_samples + max(window_samples, _STEPS_AHEAD)
        return to_read - self._taken <= max_ahead and to_read - self._kept_from <= self._max_steps

    def is_ready(self) -> bool:
        """Whether `take` returns without waiting."""
        return bool(self._steps) or (bool(self._ahead) and self._ahead[0][1].done())

    def take(self) -> list[WindowStep]:
        """The next step of each slot's window; waits for the read. Call `read_ahead` before."""
        if not self._steps:
            self._windows = []  # before the wait, so that the bytes are freed
            self._kept_from = self._taken
            steps, found = self._ahead.popleft()
            self._windows = found.result()
            self._steps.extend(steps)
        self._taken += 1
        step = self._steps.popleft()
        return [WindowStep(window, step) for window in self._windows]
