"""Batches of one or several data sets, from any position: plan → ranged reads → decoded images.

One thread reads windows ahead, other threads decode batches ahead, and the training thread takes
the batches in order. So the samples trained depend neither on the number of threads nor on the
number of ranks.
"""

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

from datasets.shards.quarantine import Quarantine, RecordBadSample
from datasets.shards.splits import Split
from datasets.streaming.config import LoaderConfig
from datasets.streaming.decoding import Decoder, WindowStep, stack_images
from datasets.streaming.mix import DataSet, share_slots
from datasets.streaming.plan import Plan
from datasets.streaming.slot_reader import SlotReader, WindowReader, window_samples
from ganinv.errors import ConfigError, DataError
from ganinv.seams.batches import Batch, Position

_MAX_BATCHES_AHEAD = 16
_DEFAULTS = LoaderConfig()


class _DataSetReader(NamedTuple):
    """Reads and decodes this rank's samples of one data set of the mix."""

    windows: WindowReader
    decoder: Decoder
    slots: tuple[int, ...]
    """This rank's slots of the global batch that belong to the data set."""


def _open_reader(
    data_set: DataSet,
    split: Split,
    plan: Plan,
    own: Mapping[int, int],
    config: LoaderConfig,
    quarantine: Quarantine,
) -> _DataSetReader:
    """`own`: this rank's slots, number in `plan` → number in the global batch."""
    windows = WindowReader(
        store=data_set.store,
        shards=data_set.index.splits[split],
        plan=plan,
        slots=tuple(own),
        attributes=config.attributes,
        quarantine=quarantine,
    )
    decoder = Decoder(
        store=data_set.origin or data_set.store,
        size=data_set.index.size,
        kind=data_set.index.kind,
        attributes=config.attributes,
        quarantine=quarantine,
    )
    return _DataSetReader(windows, decoder, tuple(own.values()))


class ShardBatches:
    """One rank's share of the global batches of a split.

    Implements `ganinv.seams.batches.BatchSource`. The samples of a global batch depend only on the
    indexes, weights, split, seed and global batch. Rank r of `world` takes the slots r, r + world,
    r + 2 · world … With several data sets, an epoch is as long as that of the data set with the
    most steps; the other data sets repeat meanwhile.
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
        record: RecordBadSample | None = None,
        pin: bool = False,
    ) -> None:
        """`record` stores bad samples for the run; `pin` puts batches into page-locked memory.

        Raises `ConfigError` if a batch exceeds the split, or `world` exceeds a batch.
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
            config.max_bad_samples(sum(d.index.images for d in data_sets)),
            listed=[sample for d in data_sets for sample in d.listed],
            record=record,
        )
        slots_by_data_set = share_slots([d.weight for d in data_sets], global_batch)
        plans = [
            Plan(
                shard_samples=[shard.samples for shard in data_set.index.splits[split]],
                seed=seed + number,
                global_batch=len(slots),
                window_samples=window_samples(data_set.index, split, global_batch),
            )
            for number, (data_set, slots) in enumerate(
                zip(data_sets, slots_by_data_set, strict=True)
            )
        ]
        self._steps = max(plan.steps for plan in plans)
        first = data_sets[0].index
        value_bytes = 1 if first.kind.bits == 8 else 4  # see `stack_images`
        self._image_bytes = first.size.pixels * first.image_channels * value_bytes
        self._readers = []
        for data_set, plan, slots in zip(data_sets, plans, slots_by_data_set, strict=True):
            own = {i: slot for i, slot in enumerate(slots) if slot % world == rank}
            if own:
                self._readers.append(_open_reader(data_set, split, plan, own, config, quarantine))

    def batches(self, start: Position) -> Generator[Batch, None, None]:
        """Endless batches from `start` on. Closing the iterator ends its threads.

        Raises `DataError` if `start` is not between two batches; while iterating, if a shard is
        missing or too many samples are corrupt.
        """
        step, rest = divmod(start.images, self._global_batch)
        if rest or not 0 <= step < self._steps or start.epoch < 0:
            raise DataError(
                f"position epoch={start.epoch} images={start.images} does not exist in this data"
                f" set with train.global_batch={self._global_batch} and {self._steps} batches per"
                " epoch; resume with the data set and the batch size it was saved with"
            )
        return self._prefetched(start.epoch * self._steps + step)

    def _prefetched(self, step: int) -> Generator[Batch, None, None]:
        """Decodes on threads, a bounded number of batches ahead; `step` counts over all epochs."""
        batch_bytes = len(self._slots) * self._image_bytes
        half = self._config.prefetch_bytes // 2
        workers = self._config.workers
        max_ahead = max(1, min(_MAX_BATCHES_AHEAD, half // batch_bytes)) if workers else 1
        encoded_bytes = max(half, self._config.prefetch_bytes - max_ahead * batch_bytes)
        with ExitStack() as threads:
            reading = _start_threads(threads, 1, "reader")
            decoding = _start_threads(threads, workers, "decoder") if workers else None
            readers = [
                SlotReader(
                    r.windows, reading, step, encoded_bytes * len(r.slots) // len(self._slots)
                )
                for r in self._readers
            ]
            ahead: deque[Callable[[], Batch]] = deque()
            while True:
                for reader in readers:
                    reader.read_ahead()
                while not ahead or (
                    len(ahead) < max_ahead and all(reader.is_ready() for reader in readers)
                ):
                    taken = [reader.take() for reader in readers]
                    step += 1
                    job = partial(self._decode, taken, step)
                    ahead.append(decoding.submit(job).result if decoding else job)
                    for reader in readers:
                        reader.read_ahead()
                yield ahead.popleft()()

    def _decode(self, taken: Sequence[Sequence[WindowStep]], step: int) -> Batch:
        """Decode a batch from one window step per slot; it is batch number `step`, from 1 on."""
        found = {
            slot: reader.decoder.decode(window_step)
            for reader, window_steps in zip(self._readers, taken, strict=True)
            for slot, window_step in zip(reader.slots, window_steps, strict=True)
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
    """Threads that end with the context: running jobs are finished, waiting jobs are cancelled."""
    pool = ThreadPoolExecutor(count, thread_name_prefix=f"ganinv-{name}")
    context.callback(pool.shutdown, cancel_futures=True)
    return pool
