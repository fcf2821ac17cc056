"""The windows of a rank's slots of one data set: read ahead on a thread, used up step by step."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from datasets.decoding import Draw
from datasets.fetch import read_encoded
from datasets.index import Index
from datasets.plan import Plan, Span
from datasets.quarantine import Quarantine
from datasets.shards import Shard, load_table
from datasets.source import Split
from datasets.tars import Member, Table
from ganinv.seams import Store

_MAX_WINDOW_BYTES = 2**20
_MAX_WINDOWS_BYTES = 2**28
_MAX_WINDOW_SAMPLES = 256
# Enough to cover retries of requests at any speed of training; what lies ahead when a run ends was
# read in vain.
MOST_STEPS_AHEAD = 64
_TABLES_AT_A_TIME = 16
# What a strand begins with, so that the first batch need not wait for whole windows.
_FIRST_STEPS = 2

# For each slot, what is left of its window.
Columns = list[deque[Draw]]


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

    def read(self, epoch: int, window: int, skipped: int, end: int) -> Columns:
        """The samples of a window for its steps `skipped` up to, not including, `end`."""
        spans_B = [self.plan.window(epoch, slot, window) for slot in self.slots]
        self._load_tables({span.shard for spans in spans_B for span in spans})
        orders_B = [
            self.plan.shuffled(epoch, slot, window, self._samples(spans))
            for slot, spans in zip(self.slots, spans_B, strict=True)
        ]
        # Asked once, for decoding threads may find more while this one reads.
        good_B = [[self._is_good(*sample) for sample in order[skipped:end]] for order in orders_B]
        wanted = [
            sample
            for order, good in zip(orders_B, good_B, strict=True)
            for sample, is_good in zip(order[skipped:end], good, strict=True)
            if is_good
        ]
        found = iter(read_encoded(self.store, wanted, attributes=self.attributes))
        return [
            deque(
                Draw(order, at, next(found) if is_good else None)
                for at, is_good in enumerate(good, skipped)
            )
            for order, good in zip(orders_B, good_B, strict=True)
        ]

    def _samples(self, spans: Sequence[Span]) -> list[tuple[Shard, Member]]:
        return [
            (self.shards[span.shard], member)
            for span in spans
            for member in self._tables[span.shard].members(span.first, span.samples)
        ]

    def _load_tables(self, needed: set[int]) -> None:
        for shard in self._tables.keys() - needed:
            del self._tables[shard]
        if missing := sorted(needed - self._tables.keys()):
            with ThreadPoolExecutor(min(len(missing), _TABLES_AT_A_TIME)) as pool:
                loaded = pool.map(lambda i: load_table(self.store, self.shards[i]), missing)
                self._tables.update(zip(missing, loaded, strict=True))

    def _is_good(self, shard: Shard, member: Member) -> bool:
        return not self.quarantine.holds(self.store.url, shard.name, member.key)


class Strand:
    """The samples of a rank's slots of one data set, step after step from `step` on."""

    def __init__(self, reader: WindowReader, executor: Executor, step: int, most_bytes: int):
        """`step` counts over all epochs. `executor` reads, with one thread.

        At most `most_bytes` of encoded samples are kept ahead, but always one window.
        """
        self._reader = reader
        self._executor = executor
        shards, plan = reader.shards, reader.plan
        mean_bytes = sum(s.size_bytes for s in shards) / sum(s.samples for s in shards)
        affordable = int(most_bytes / (mean_bytes * len(reader.slots)))
        self._most_steps = min(MOST_STEPS_AHEAD + plan.window_samples, affordable)
        self._first = step
        self._to_read = step
        self._taken = step
        self._ahead: deque[Future[Columns]] = deque()
        self._columns: Columns = [deque()]

    def read_ahead(self) -> None:
        """Start what reading there is room for."""
        while True:
            plan = self._reader.plan
            epoch, step = divmod(self._to_read, plan.steps)
            window, skipped = divmod(step, plan.window_samples)
            start = window * plan.window_samples
            end = min(start + plan.window_samples, plan.steps)
            if self._to_read == self._first:
                end = min(step + _FIRST_STEPS, end)
            nothing_ahead = self._to_read == self._taken
            if not nothing_ahead and self._to_read + end - step - self._taken > self._most_steps:
                return
            read = self._reader.read
            self._ahead.append(self._executor.submit(read, epoch, window, skipped, end - start))
            self._to_read += end - step

    def is_ready(self) -> bool:
        """Whether `take` returns at once."""
        return bool(self._columns[0]) or (bool(self._ahead) and self._ahead[0].done())

    def take(self) -> list[Draw]:
        """What our slots get at the next step; waits for it. `read_ahead` must have been called."""
        if not self._columns[0]:
            self._columns = self._ahead.popleft().result()
        self._taken += 1
        # From the front, so that the bytes of what was used are let go.
        return [column.popleft() for column in self._columns]
