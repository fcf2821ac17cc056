"""Batches of a data set, from any position on: plan → ranged reads → decoded images."""

import json
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from torch import Tensor

from datasets.fetch import Encoded, Piece, decode_batch, fetch, read_encoded
from datasets.index import Index
from datasets.plan import Plan
from datasets.shards import Shard, load_table
from datasets.source import Split
from datasets.tars import Member
from ganinv.errors import ConfigError, DataError
from ganinv.seams import Batch, Position, Store

_MAX_WINDOW_BYTES = 2**20
_MAX_WINDOW_SAMPLES = 256


def window_samples(index: Index, split: Split) -> int:
    """Samples that are shuffled together: about 1 MiB of the shards, at most 256 of them."""
    size_bytes = sum(shard.size_bytes for shard in index.splits[split])
    mean_bytes = max(1, size_bytes // max(1, index.samples(split)))
    return max(1, min(_MAX_WINDOW_SAMPLES, _MAX_WINDOW_BYTES // mean_bytes))


class ShardBatches:
    """One rank's share of the global batches of a split; a `ganinv.seams.BatchSource`.

    Which samples make up a global batch depends on index, split, seed and global batch alone;
    rank r of `world` takes its slots r, r + world, … Memory: a window per slot, and
    `prefetch_batches` decoded batches.
    """

    def __init__(
        self,
        store: Store,
        index: Index,
        split: Split,
        *,
        seed: int,
        global_batch: int,
        rank: int = 0,
        world: int = 1,
        prefetch_batches: int = 4,
    ) -> None:
        """Raises `ConfigError` if a batch exceeds the split, or the world exceeds a batch."""
        assert 0 <= rank < world
        assert prefetch_batches >= 1
        if global_batch < world:
            raise ConfigError(
                f"train.global_batch={global_batch} is below the {world} workers, and each needs"
                " at least one sample; raise it or lower cluster.workers"
            )
        self._store = store
        self._index = index
        self._shards = index.splits[split]
        self._plan = Plan(
            shard_samples=[shard.samples for shard in self._shards],
            seed=seed,
            global_batch=global_batch,
            window_samples=window_samples(index, split),
        )
        self._slots = tuple(range(rank, global_batch, world))
        self._prefetch_batches = prefetch_batches

    def batches(self, start: Position) -> Generator[Batch, None, None]:
        """Batches without end from `start` on; closing the iterator ends its thread.

        Raises `DataError` for a position that is not between two batches, and while iterating
        for samples that are missing or damaged.
        """
        step, rest = divmod(start.images, self._plan.global_batch)
        if rest or not 0 <= step < self._plan.steps or start.epoch < 0:
            raise DataError(
                f"position epoch={start.epoch} images={start.images} is not one of this data set"
                f" with train.global_batch={self._plan.global_batch} and {self._plan.steps}"
                " batches an epoch; go on with the data and the batch size it was saved with"
            )
        return self._prefetched(start.epoch, step)

    def _prefetched(self, epoch: int, step: int) -> Generator[Batch, None, None]:
        """Runs `_stream` on a thread, a bounded number of batches ahead."""
        stream = self._stream(epoch, step)
        with ThreadPoolExecutor(1, thread_name_prefix="ganinv-loader") as pool:
            ahead: deque[Future[Batch]] = deque()
            try:
                while True:
                    while len(ahead) < self._prefetch_batches:
                        ahead.append(pool.submit(next, stream))
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def _stream(self, epoch: int, step: int) -> Iterator[Batch]:
        tables: dict[int, list[Member]] = {}
        while True:
            window, skipped = divmod(step, self._plan.window_samples)
            window_B = self._read_window(epoch, window, skipped, tables)
            # Consumed from the front, so that the bytes of trained samples are let go.
            while window_B[0]:
                samples = [column.popleft() for column in window_B]
                step += 1
                if step < self._plan.steps:
                    after = Position(epoch=epoch, images=step * self._plan.global_batch)
                else:
                    epoch, step = epoch + 1, 0
                    after = Position(epoch=epoch, images=0)
                yield Batch(
                    images_BCHW=decode_batch(samples, self._index.resolution),
                    slots=self._slots,
                    keys=tuple(sample.member.key for sample in samples),
                    after=after,
                )

    def _read_window(
        self, epoch: int, window: int, skipped: int, tables: dict[int, list[Member]]
    ) -> list[deque[Encoded]]:
        """For each of our slots, its samples of a window in order, without the first `skipped`.

        `tables` holds those of the shards in use, and is brought up to date.
        """
        places_B = [self._plan.order(epoch, slot, window)[skipped:] for slot in self._slots]
        needed = {place.shard for places in places_B for place in places}
        for shard in tables.keys() - needed:
            del tables[shard]
        for shard in needed - tables.keys():
            tables[shard] = load_table(self._store, self._shards[shard])
        found = read_encoded(
            self._store,
            [
                (self._shards[place.shard], tables[place.shard][place.sample])
                for places in places_B
                for place in places
            ],
        )
        each = len(places_B[0])
        return [deque(found[i : i + each]) for i in range(0, len(found), each)]


def read_samples(
    store: Store, index: Index, split: Split, first: int, count: int
) -> tuple[Tensor, tuple[str, ...], tuple[dict[str, Any], ...]]:
    """Samples `first` up to `first + count` of a split in the order of the index.

    Returns images (uint8, B × 3 × H × W), keys and attributes ({} where there are none). Raises
    `DataError` if the split has not as many.
    """
    if first < 0 or count < 1 or first + count > index.samples(split):
        raise DataError(
            f"samples {first} to {first + count - 1} of the split {split!r} were asked for and it"
            f" has {index.samples(split)}; ask for fewer, or build a larger data set"
        )
    wanted: list[tuple[Shard, Member]] = []
    start = 0
    for shard in index.splits[split]:
        inside = range(max(first - start, 0), min(first + count - start, shard.samples))
        if inside:
            table = load_table(store, shard)
            wanted += [(shard, table[i]) for i in inside]
        start += shard.samples
    samples = read_encoded(store, wanted)
    texts = fetch(
        store,
        [Piece(s, m.json_start, m.json_start + m.json_bytes) for s, m in wanted if m.json_bytes],
    )
    rest = iter(texts)
    attributes = tuple(json.loads(next(rest)) if m.json_bytes else {} for _, m in wanted)
    images_BCHW = decode_batch(samples, index.resolution)
    return images_BCHW, tuple(member.key for _, member in wanted), attributes
