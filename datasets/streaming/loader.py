"""Batches of data sets, from any position on: plan → ranged reads → decoded images.

One thread reads windows ahead, others decode batches ahead, and the training thread takes them in
order, so that neither the number of threads nor that of ranks shows in what is trained.
"""

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

from datasets.shards.quarantine import Quarantine, Record
from datasets.shards.splits import Split
from datasets.streaming.config import LoaderConfig
from datasets.streaming.decoding import Decoder, Draw, stack_images
from datasets.streaming.mix import DataSet, share_slots
from datasets.streaming.plan import Plan
from datasets.streaming.strand import Strand, WindowReader, window_samples
from ganinv.errors import ConfigError, DataError
from ganinv.seams.batches import Batch, Position

_MAX_BATCHES_AHEAD = 16
_DEFAULTS = LoaderConfig()


class _Part(NamedTuple):
    """One data set of the mix, as this rank reads it."""

    reader: WindowReader
    decoder: Decoder
    slots: tuple[int, ...]
    """Ours, of the global batch."""


def _part(
    data_set: DataSet,
    split: Split,
    plan: Plan,
    own: Mapping[int, int],
    config: LoaderConfig,
    quarantine: Quarantine,
) -> _Part:
    """`own`: number of a slot in `plan` → its number in the global batch, those of this rank."""
    reader = WindowReader(
        store=data_set.store,
        shards=data_set.index.splits[split],
        plan=plan,
        slots=tuple(own),
        attributes=config.attributes,
        quarantine=quarantine,
    )
    decoder = Decoder(
        store=data_set.origin or data_set.store,
        resolution=data_set.index.resolution,
        attributes=config.attributes,
        quarantine=quarantine,
    )
    return _Part(reader, decoder, tuple(own.values()))


class ShardBatches:
    """One rank's share of the global batches of a split; a `ganinv.seams.BatchSource`.

    Which samples make up a global batch depends on indexes, weights, split, seed and global batch
    alone; rank r of `world` takes its slots r, r + world, … An epoch of several data sets ends
    with that of the one that takes longest; the others have begun anew meanwhile.
    """

    def __init__(
        self,
        data_sets: Sequence[DataSet],
        split: Split,
        *,
        seed: int,
        global_batch: int,
        rank: int = 0,
        world: int = 1,
        config: LoaderConfig = _DEFAULTS,
        record: Record | None = None,
        pin: bool = False,
    ) -> None:
        """`record` keeps damaged samples for the run; `pin` puts batches into page-locked memory.

        Raises `ConfigError` if a batch exceeds the split, or the world exceeds a batch.
        """
        assert 0 <= rank < world
        if global_batch < world:
            raise ConfigError(
                f"train.global_batch={global_batch} is below the {world} workers, and each needs"
                " at least one sample; raise it or lower cluster.workers"
            )
        self._global_batch = global_batch
        self._slots = tuple(range(rank, global_batch, world))
        self._config = config
        self._pin = pin
        quarantine = Quarantine(
            config.most_bad(sum(d.index.images for d in data_sets)),
            listed=[sample for d in data_sets for sample in d.listed],
            record=record,
        )
        shares = share_slots([d.weight for d in data_sets], global_batch)
        plans = [
            Plan(
                shard_samples=[shard.samples for shard in data_set.index.splits[split]],
                seed=seed + number,
                global_batch=len(slots),
                window_samples=window_samples(data_set.index, split, global_batch),
            )
            for number, (data_set, slots) in enumerate(zip(data_sets, shares, strict=True))
        ]
        self._steps = max(plan.steps for plan in plans)
        self._resolution = data_sets[0].index.resolution
        self._parts = []
        for data_set, plan, slots in zip(data_sets, plans, shares, strict=True):
            own = {i: slot for i, slot in enumerate(slots) if slot % world == rank}
            if own:
                self._parts.append(_part(data_set, split, plan, own, config, quarantine))

    def batches(self, start: Position) -> Generator[Batch, None, None]:
        """Batches without end from `start` on; closing the iterator ends its threads.

        Raises `DataError` for a position that is not between two batches, and while iterating
        for samples that are missing or too many that are damaged.
        """
        step, rest = divmod(start.images, self._global_batch)
        if rest or not 0 <= step < self._steps or start.epoch < 0:
            raise DataError(
                f"position epoch={start.epoch} images={start.images} is not one of this data set"
                f" with train.global_batch={self._global_batch} and {self._steps}"
                " batches an epoch; go on with the data and the batch size it was saved with"
            )
        return self._prefetched(start.epoch * self._steps + step)

    def _prefetched(self, step: int) -> Generator[Batch, None, None]:
        """Decodes on threads, a bounded number of batches ahead; `step` counts over all epochs."""
        batch_bytes = len(self._slots) * 3 * self._resolution**2
        half = self._config.prefetch_bytes // 2
        workers = self._config.workers
        most = max(1, min(_MAX_BATCHES_AHEAD, half // batch_bytes)) if workers else 1
        encoded_bytes = max(half, self._config.prefetch_bytes - most * batch_bytes)
        with ExitStack() as threads:
            reader = _start_threads(threads, 1, "reader")
            decoders = _start_threads(threads, workers, "decoder") if workers else None
            strands = [
                Strand(p.reader, reader, step, encoded_bytes * len(p.slots) // len(self._slots))
                for p in self._parts
            ]
            ahead: deque[Callable[[], Batch]] = deque()
            while True:
                for strand in strands:
                    strand.read_ahead()
                while not ahead or (
                    len(ahead) < most and all(strand.is_ready() for strand in strands)
                ):
                    draws = [strand.take() for strand in strands]
                    step += 1
                    job = partial(self._decode, draws, step)
                    ahead.append(decoders.submit(job).result if decoders else job)
                    for strand in strands:
                        strand.read_ahead()
                yield ahead.popleft()()

    def _decode(self, draws: Sequence[Sequence[Draw]], step: int) -> Batch:
        """The batch after which `step` batches are done."""
        found = {
            slot: part.decoder.decode(draw)
            for part, own in zip(self._parts, draws, strict=True)
            for slot, draw in zip(part.slots, own, strict=True)
        }
        samples = [found[slot] for slot in self._slots]
        images_BCHW = stack_images([sample.image_HWC for sample in samples])
        epoch, done = divmod(step, self._steps)
        return Batch(
            images_BCHW=images_BCHW.pin_memory() if self._pin else images_BCHW,
            slots=self._slots,
            keys=tuple(sample.key for sample in samples),
            attributes=tuple(s.attributes for s in samples) if self._config.attributes else None,
            after=Position(epoch=epoch, images=done * self._global_batch),
        )


def _start_threads(context: ExitStack, count: int, name: str) -> ThreadPoolExecutor:
    """Threads that end with the context, after what they are doing; what waits is dropped."""
    pool = ThreadPoolExecutor(count, thread_name_prefix=f"ganinv-{name}")
    context.callback(pool.shutdown, cancel_futures=True)
    return pool
