"""Mixes of data sets: exact shares, one sequence for every world size, epochs per data set."""

from collections import Counter
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet, check_same_size, joint_fingerprint, share_slots
from ganinv.errors import ConfigError, DataError
from ganinv.seams.batches import Batch, Position

BATCH = 12
START = Position(epoch=0, images=0)
WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=5)


@settings(max_examples=200)
@given(weights=WEIGHTS, global_batch=st.integers(1, 64))
def test_slots_are_shared_out_by_weight(weights: list[float], global_batch: int) -> None:
    quotas = [weight / sum(weights) * global_batch for weight in weights]
    try:
        slots = share_slots(weights, global_batch)
    except ConfigError:
        assert min(quotas) < 1
        return
    assert sorted(slot for own in slots for slot in own) == list(range(global_batch))
    for own, quota in zip(slots, quotas, strict=True):
        assert abs(len(own) - quota) < 1
        assert list(own) == sorted(own)
        for start in range(global_batch):  # evenly spread: every half of the batch has its share
            inside = sum(start <= slot < start + global_batch // 2 for slot in own)
            if start + global_batch // 2 <= global_batch:
                assert abs(inside - len(own) / 2) <= len(weights) + 1


def _mix(faces: Any, rank: int = 0, world: int = 1) -> ShardBatches:
    """The test split serves as a second, smaller data set."""
    small = type(faces.index)(
        description={},
        width=16,
        height=16,
        splits={"train": faces.index.splits["test"], "test": ()},
    )
    return ShardBatches(
        [
            DataSet(store=faces.store, index=faces.index, weight=2.0),
            DataSet(store=faces.store, index=small),
        ],
        "train",
        seed=1,
        global_batch=BATCH,
        rank=rank,
        world=world,
    )


def _take(source: ShardBatches, count: int, start: Position = START) -> list[Batch]:
    batches = source.batches(start)
    try:
        return list(islice(batches, count))
    finally:
        batches.close()


def test_a_mix_is_one_sequence_and_each_data_set_has_its_own_epochs(faces: Any) -> None:
    steps = 280 // 8  # of the larger; the smaller has 10 of 4
    whole = _take(_mix(faces), steps + 3)
    small = {f"{number:08}" for number in range(280, 320)}
    for batch in whole:
        assert sum(key in small for key in batch.keys) == 4
    uses = Counter(key for batch in whole[:steps] for key in batch.keys if key not in small)
    assert set(uses.values()) == {1}
    assert len(uses) == 280
    for first in range(0, 30, 10):
        epoch = [k for batch in whole[first : first + 10] for k in batch.keys if k in small]
        assert sorted(epoch) == sorted(small)
    assert whole[steps - 1].after == Position(epoch=1, images=0)
    for rank in range(3):
        for part, batch in zip(_take(_mix(faces, rank, 3), steps + 3), whole, strict=True):
            assert part.keys == tuple(batch.keys[slot] for slot in part.slots)
    for done in (9, 10, 17, steps - 1):
        again = _take(_mix(faces), 3, whole[done].after)
        assert [b.keys for b in again] == [b.keys for b in whole[done + 1 : done + 4]]


def test_the_fingerprint_of_a_mix_depends_on_its_data_sets_and_slots(faces: Any) -> None:
    one = DataSet(store=faces.store, index=faces.index)
    light = DataSet(store=faces.store, index=faces.index, weight=0.5)
    assert joint_fingerprint([one], BATCH) == faces.index.fingerprint
    prints = {joint_fingerprint(parts, BATCH) for parts in ([one], [one, one], [one, light])}
    assert len(prints) == 3
    assert joint_fingerprint([one, one], BATCH) == joint_fingerprint([light, light], BATCH)


def test_images_of_different_sizes_do_not_mix(faces: Any) -> None:
    large = type(faces.index)(description={}, width=32, height=32, splits=faces.index.splits)
    parts = [
        DataSet(store=faces.store, index=faces.index),
        DataSet(store=faces.store, index=large),
    ]
    with pytest.raises(DataError, match=r"32 pixels.* of 16"):
        check_same_size(parts)
