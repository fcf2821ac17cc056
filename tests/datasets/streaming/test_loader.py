"""Batches from real shards: one sequence for every world size and position, with few requests."""

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from datasets.streaming.config import LoaderConfig
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from datasets.streaming.samples import read_attributes, read_samples
from datasets.streaming.slot_reader import window_samples
from ganinv.errors import ConfigError, DataError, StorageError
from ganinv.seams.batches import Batch, Position

BATCH = 12
STEPS = 280 // BATCH  # of an epoch of `faces`
START = Position(epoch=0, images=0)

# `faces` is `conftest.Faces`.


@pytest.fixture(params=[256, 5], ids=["one window a slot", "many windows a slot"])
def windows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.streaming.slot_reader._MAX_WINDOW_SAMPLES", request.param)


def _source(
    faces: Any, rank: int = 0, world: int = 1, global_batch: int = BATCH, **config: Any
) -> ShardBatches:
    return ShardBatches(
        [DataSet(store=faces.store, index=faces.index)],
        "train",
        seed=5,
        global_batch=global_batch,
        rank=rank,
        world=world,
        config=LoaderConfig(**config),
    )


def _take(source: ShardBatches, count: int, start: Position = START) -> list[Batch]:
    iterator = source.batches(start)
    batches = list(islice(iterator, count))
    iterator.close()
    return batches


def test_attributes_are_read_only_if_requested(faces: Any) -> None:
    _, keys, attributes = read_samples(faces.store, faces.index, "train", 0, 280)
    made = dict(zip(keys, attributes, strict=True))
    assert len(made["00000000"]) > 1
    for batch in _take(_source(faces, attributes=True), 3):
        assert batch.attributes == tuple(made[key] for key in batch.keys)
    assert _take(_source(faces), 1)[0].attributes is None


def _same(a: Batch, b: Batch) -> bool:
    rest = (a.slots, a.keys, a.after) == (b.slots, b.keys, b.after)
    return rest and torch.equal(a.images_BCHW, b.images_BCHW)


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.usefixtures("windows")
def test_every_world_size_sees_one_sequence(faces: Any, world: int) -> None:
    count = STEPS + 3
    whole = _take(_source(faces), count)
    shares = [_take(_source(faces, rank, world), count) for rank in range(world)]
    for step, batch in enumerate(whole):
        parts = [share[step] for share in shares]
        assert {part.after for part in parts} == {batch.after}
        assert [part.slots for part in parts] == [
            tuple(range(rank, BATCH, world)) for rank in range(world)
        ]
        keys = {s: k for part in parts for s, k in zip(part.slots, part.keys, strict=True)}
        assert tuple(keys[slot] for slot in batch.slots) == batch.keys
        for part in parts:
            assert torch.equal(part.images_BCHW, batch.images_BCHW[list(part.slots)])


@pytest.mark.usefixtures("windows")
def test_batches_hold_the_images_of_their_keys(faces: Any) -> None:
    images = {sample.key: sample.image_HWC for sample in faces.source.samples()}
    batches = _take(_source(faces), STEPS)
    for batch in batches:
        assert batch.images_BCHW.dtype == torch.uint8
        assert batch.images_BCHW.shape == (BATCH, 3, 16, 16)
        assert batch.images_BCHW.is_contiguous()
        for image_CHW, key in zip(batch.images_BCHW, batch.keys, strict=True):
            assert np.array_equal(image_CHW.permute(1, 2, 0), images[key])
    uses = Counter(key for batch in batches for key in batch.keys)
    assert max(uses.values()) == 1
    assert len(uses) == STEPS * BATCH


def test_positions_count_images_and_then_epochs(faces: Any) -> None:
    after = [batch.after for batch in _take(_source(faces), STEPS + 1)]
    inside = [Position(epoch=0, images=BATCH * step) for step in range(1, STEPS)]
    assert after == [*inside, Position(epoch=1, images=0), Position(epoch=1, images=BATCH)]


@pytest.mark.parametrize("done", [1, 2, STEPS - 1, STEPS, STEPS + 1, 2 * STEPS])
@pytest.mark.usefixtures("windows")
def test_resuming_anywhere_is_the_continuation(faces: Any, done: int) -> None:
    whole = _take(_source(faces), done + 4)
    resumed = _take(_source(faces, prefetch_bytes=1), 4, whole[done - 1].after)
    assert all(_same(a, b) for a, b in zip(whole[done:], resumed, strict=True))


@pytest.mark.parametrize("images", [5, -BATCH, STEPS * BATCH])
def test_foreign_positions_are_refused(faces: Any, images: int) -> None:
    with pytest.raises(DataError, match=rf"position epoch=2 images={images} "):
        _source(faces).batches(Position(epoch=2, images=images))


@pytest.mark.parametrize("world", [1, 4])
def test_hardly_more_bytes_are_read_than_used(faces_copy: Any, world: int) -> None:
    for rank in range(world):
        # Taking the last batch too would start to read the next epoch.
        _take(_source(faces_copy, rank, world, prefetch_bytes=1), STEPS - 1)
    tar_bytes = sum(shard.size_bytes for shard in faces_copy.index.splits["train"])
    used_bytes = tar_bytes * STEPS * BATCH / 280
    # Requests: the first two steps of each slot; then the rest of each window, in two pieces, and
    # one more where the window crosses shards; and the tables.
    assert faces_copy.store.requests <= (2 + 3) * BATCH + 5 + world * 5
    assert faces_copy.store.read_bytes <= 1.1 * used_bytes


def test_resuming_within_a_window_takes_few_requests(faces_copy: Any) -> None:
    """Trained samples lie scattered between the remaining ones, but few gaps cost a request."""
    start = Position(epoch=0, images=STEPS // 2 * BATCH)
    _take(_source(faces_copy, prefetch_bytes=1), 3, start)
    # Requests: the first two steps of each slot, then one range per slot, and one more where the
    # window crosses shards.
    assert faces_copy.store.requests <= (2 + 2) * BATCH + 5


def test_the_size_of_windows_follows_from_index_and_batch(faces: Any) -> None:
    size = window_samples(faces.index, "train", BATCH)
    shards = faces.index.splits["train"]
    mean = sum(s.size_bytes for s in shards) / 280
    assert size == 256 or size * mean <= 2**20
    many = window_samples(faces.index, "train", 4096)
    assert many < size
    assert 4096 * many * mean <= 2**28


def test_threads_end_with_the_iterator(faces: Any, no_thread_left: Callable[[], bool]) -> None:
    def consume(batches: Iterator[Batch]) -> None:
        for _ in batches:
            raise RuntimeError("the consumer failed")

    closed = _source(faces).batches(START)
    next(closed)
    assert not no_thread_left()
    closed.close()
    assert no_thread_left()
    with pytest.raises(RuntimeError, match="consumer"):
        consume(_source(faces).batches(START))
    dropped = _source(faces).batches(START)
    next(dropped)
    del dropped
    gc.collect()
    assert no_thread_left()


def test_prefetching_is_bounded(faces_copy: Any) -> None:
    iterator = _source(faces_copy, prefetch_bytes=1, global_batch=100).batches(START)
    before = next(iterator).after
    iterator.close()
    # An epoch has two steps: the batch taken and two more reach into the second epoch at most.
    assert before == Position(epoch=0, images=100)
    tar_bytes = sum(shard.size_bytes for shard in faces_copy.index.splits["train"])
    assert faces_copy.store.read_bytes < 2.3 * tar_bytes


def test_storage_errors_reach_the_consumer(faces_copy: Any) -> None:
    faces_copy.store.delete([shard.name for shard in faces_copy.index.shards])

    def fail(ranges: object) -> list[bytes]:
        raise StorageError("unreachable")

    faces_copy.store.read_ranges = fail
    with pytest.raises(StorageError, match="unreachable"):
        next(_source(faces_copy).batches(START))


def test_impossible_batches_are_refused(faces: Any) -> None:
    with pytest.raises(ConfigError, match=r"train\.global_batch=281 exceeds the 280"):
        _source(faces, global_batch=281)
    with pytest.raises(ConfigError, match=r"train\.global_batch=3 is below the 4 workers"):
        _source(faces, global_batch=3, world=4)


def test_samples_in_index_order(faces: Any) -> None:
    made = list(faces.source.samples())
    images, keys, attributes = read_samples(faces.store, faces.index, "train", 60, 80)
    assert keys == tuple(sample.key for sample in made[60:140])
    assert attributes == tuple(sample.attributes for sample in made[60:140])
    for image_CHW, sample in zip(images, made[60:140], strict=True):
        assert np.array_equal(image_CHW.permute(1, 2, 0), sample.image_HWC)
    alone = read_attributes(faces.store, faces.index, "train", range(60, 140))
    assert tuple(alone) == attributes
    _, keys, _ = read_samples(faces.store, faces.index, "test", 0, 40)
    assert keys == tuple(sample.key for sample in made[280:])
    for first, count in ((0, 41), (-1, 2), (0, 0), (40, 1)):
        with pytest.raises(DataError, match="the split 'test'"):
            read_samples(faces.store, faces.index, "test", first, count)
