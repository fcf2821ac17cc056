"""Corrupt samples: every world size replaces them by the same samples, up to a limit."""

import json
import logging
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import pytest
import torch

from datasets.shards.quarantine import listed_samples
from datasets.shards.shard import load_table
from datasets.streaming.config import LoaderConfig
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from ganinv.errors import DataError
from ganinv.seams.batches import BadSample, Batch, Position
from ganinv.seams.stores import Blobs, Range

BATCH = 12
STEPS = 280 // BATCH
START = Position(epoch=0, images=0)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.streaming.slot_reader._MAX_WINDOW_SAMPLES", 7)


def _take(
    faces: Any,
    count: int,
    start: Position = START,
    *,
    rank: int = 0,
    world: int = 1,
    listed: Sequence[BadSample] = (),
    record: Any = None,
    **config: Any,
) -> list[Batch]:
    data = DataSet(store=faces.store, index=faces.index, listed=listed)
    source = ShardBatches(
        [data],
        "train",
        seed=5,
        global_batch=BATCH,
        rank=rank,
        world=world,
        config=LoaderConfig(**{"max_quarantined_ratio": 1.0, **config}),
        record=record,
    )
    batches = source.batches(start)
    try:
        return list(islice(batches, count))
    finally:
        batches.close()


def _corrupt(faces: Any, *numbers: int) -> list[str]:
    """Flip one bit in the middle of the images of these training samples; returns their keys."""
    keys = []
    for number in numbers:
        shard = faces.index.splits["train"][number // 64]
        path = faces.store.folder / shard.name
        member = load_table(faces.store, shard).member(number % 64)
        data = bytearray(path.read_bytes())
        data[member.image_start + member.image_bytes // 2] ^= 1
        path.write_bytes(data)
        keys.append(member.key)
    return keys


def _keys(batches: Sequence[Batch]) -> list[tuple[str, ...]]:
    return [batch.keys for batch in batches]


def test_every_world_size_replaces_a_corrupt_sample_by_the_same_sample(
    faces: Any, faces_copy: Any, caplog: pytest.LogCaptureFixture
) -> None:
    clean = _take(faces, STEPS)
    # After the last step of a window, the search for a replacement continues at the first. 130 and
    # 131 may be neighbours in a window.
    last_of_window = int(clean[6].keys[3])
    bad = _corrupt(faces_copy, 3, 130, 131, last_of_window)
    whole = _take(faces_copy, STEPS)
    assert {key for key in bad if f"'{key}'" in caplog.text} == set(bad)
    assert caplog.text.count("quarantined") == len(bad)
    different = 0
    for before, after in zip(clean, whole, strict=True):
        for slot, (old, new) in enumerate(zip(before.keys, after.keys, strict=True)):
            assert (old != new) == (old in bad)
            if old not in bad:
                assert torch.equal(before.images_BCHW[slot], after.images_BCHW[slot])
            different += old != new
    assert different == len([key for batch in clean for key in batch.keys if key in bad]) >= 3
    for world, workers in ((2, 0), (3, 2)):
        shares = [
            _take(faces_copy, STEPS, rank=rank, world=world, workers=workers)
            for rank in range(world)
        ]
        for step, batch in enumerate(whole):
            for share in shares:
                part = share[step]
                assert part.keys == tuple(batch.keys[slot] for slot in part.slots)
    for done in (4, 6, 7):
        assert _keys(_take(faces_copy, 5, whole[done].after)) == _keys(whole[done + 1 : done + 6])


def test_samples_listed_beside_the_data_are_replaced_without_being_read(faces_copy: Any) -> None:
    bad = _corrupt(faces_copy, 3, 130)
    found: list[BadSample] = []

    def record(sample: BadSample) -> Sequence[BadSample]:
        found.append(sample)
        return found

    expected = _keys(_take(faces_copy, STEPS, record=record))
    assert sorted(sample.key for sample in found) == sorted(bad)
    rows = [[sample.shard, sample.key, "why"] for sample in found]
    content = {"fingerprint": faces_copy.index.fingerprint, "samples": rows}
    faces_copy.store.write("quarantine.json", json.dumps(content).encode())
    listed = listed_samples(faces_copy.store, faces_copy.index)
    assert [sample.key for sample in listed] == [sample.key for sample in found]
    again: list[BadSample] = []
    assert _keys(_take(faces_copy, STEPS, listed=listed, record=again.append)) == expected
    assert not again


def test_a_corrupt_or_foreign_list_is_refused(faces_copy: Any) -> None:
    assert listed_samples(faces_copy.store, faces_copy.index) == []
    for text, reason in (
        (b'{"fingerprint": "other", "samples": []}', "another fingerprint"),
        (b'{"fingerprint": ', "corrupt"),
        (b"[]", "corrupt"),
        (b'{"fingerprint": "x", "samples": [["shard"]]}', "corrupt"),
    ):
        faces_copy.store.write("quarantine.json", text)
        with pytest.raises(DataError, match=rf"quarantine\.json .*{reason}"):
            listed_samples(faces_copy.store, faces_copy.index)


@pytest.mark.parametrize(
    "config", [{"max_quarantined": 2}, {"max_quarantined_ratio": 2 / 280}], ids=["number", "ratio"]
)
def test_too_many_stop_the_run_with_the_list(
    faces_copy: Any, config: dict[str, Any], no_thread_left: Callable[[], bool]
) -> None:
    bad = _corrupt(faces_copy, 3, 130)
    _take(faces_copy, STEPS + 2, **config)
    bad += _corrupt(faces_copy, 200, 210)
    with pytest.raises(DataError, match=r"3 samples are corrupt.*allow 2") as caught:
        _take(faces_copy, 2 * STEPS, **config)
    assert sum(f"'{key}' in " in str(caught.value) for key in bad) == 3
    assert no_thread_left()


def test_bytes_corrupted_in_transit_do_not_make_a_sample_bad(
    faces: Any, faces_copy: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read = faces_copy.store.read_ranges
    calls = 0

    def noisy(ranges: Sequence[Range]) -> Blobs:
        nonlocal calls
        calls += 1
        blobs: Blobs = read(ranges)
        if calls == 1:
            blobs[0] = blobs[0][:-1] + bytes([blobs[0][-1] ^ 1])
        return blobs

    monkeypatch.setattr(faces_copy.store, "read_ranges", noisy)
    expected = _take(faces, STEPS)
    found = _take(faces_copy, STEPS)
    assert _keys(found) == _keys(expected)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a.images_BCHW, b.images_BCHW)
    assert not caplog.messages
    assert calls > STEPS // 7


def test_the_error_for_images_of_another_size_names_both_sizes(
    faces: Any, caplog: pytest.LogCaptureFixture
) -> None:
    index = type(faces.index)(description={}, width=32, height=32, splits=faces.index.splits)
    batches = ShardBatches(
        [DataSet(store=faces.store, index=index)], "train", seed=0, global_batch=4
    ).batches(START)
    caplog.set_level(logging.ERROR, "datasets.shards.quarantine")
    with pytest.raises(DataError, match=r"image '\d+' in train/\d+\.tar: it has 16 × 16 pixels"):
        next(batches)


def test_a_window_without_any_good_sample(faces_copy: Any) -> None:
    listed = [
        BadSample(faces_copy.store.url, shard.name, f"{number:08}", "")
        for shard in faces_copy.index.splits["train"]
        for number in range(280)
    ]
    with pytest.raises(DataError, match=r"so are all 7 samples that could replace it"):
        _take(faces_copy, 1, listed=listed)
