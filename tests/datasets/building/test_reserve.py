"""Samples reserved for tests: which ones, that nothing is lost or seen twice, and that it lasts."""

import io
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from datasets.building.build import build
from datasets.building.index_existing import index_existing
from datasets.shards.index import Index, check_sizes
from datasets.shards.quarantine import Quarantine
from datasets.shards.shard import load_table
from datasets.shards.verify import verify
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from datasets.streaming.samples import read_good_images, read_samples
from ganinv.errors import ConfigError
from ganinv.seams.batches import Position

# `faces` is `conftest.Faces`, and stores are `conftest.FolderStore`.
MakeStore = Callable[[str], Any]


def _tar(keys: range) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for key in keys:
            image = io.BytesIO()
            Image.new("RGB", (8, 8), (key, 0, 0)).save(image, "PNG")
            info = tarfile.TarInfo(f"{key:03d}.png")
            info.size = image.tell()
            tar.addfile(info, io.BytesIO(image.getvalue()))
    return file.getvalue()


@pytest.fixture
def tars(make_store: MakeStore) -> Any:
    """100 images in four tars."""
    store = make_store("tars")
    for number in range(4):
        store.write(f"train-{number}.tar", _tar(range(25 * number, 25 * number + 25)))
    return store


def _keys(store: Any, index: Index, split: Any) -> list[str]:
    return [member.key for s in index.splits[split] for member in load_table(store, s)]


@pytest.mark.parametrize(("asked", "count"), [(10, 10), (0.07, 7), (0.001, 1), (99, 99)])
def test_a_number_or_a_share_is_reserved_and_the_tars_stay(
    asked: float, count: int, tars: Any
) -> None:
    before = {e.name: tars.read(e.name) for e in tars.list()}
    index = index_existing(tars, test_images=asked)
    train, test = _keys(tars, index, "train"), _keys(tars, index, "test")
    assert (len(test), index.samples("test"), index.samples("train")) == (count, count, 100 - count)
    assert sorted(train + test) == [f"{key:03d}" for key in range(100)]
    assert {name: tars.read(name) for name in before} == before
    assert Index.load(tars) == index
    assert verify(index, tars) == []
    check_sizes(index, tars)


def test_the_choice_depends_on_the_keys_alone(tars: Any, make_store: MakeStore) -> None:
    """Also after the samples were distributed over other tars."""
    other = make_store("other")
    other.write("z.tar", _tar(range(60)))
    other.write("a.tar", _tar(range(60, 100)))
    chosen = _keys(tars, index_existing(tars, test_images=12), "test")
    assert sorted(_keys(other, index_existing(other, test_images=12), "test")) == sorted(chosen)
    more = _keys(tars, index_existing(tars, test_images=20), "test")
    assert set(chosen) < set(more)


def test_equal_keys_in_several_tars_are_told_apart(make_store: MakeStore) -> None:
    store = make_store("equal")
    for name in "abcd":
        store.write(f"{name}.tar", _tar(range(3)))
    index = index_existing(store, test_images=5)
    assert (index.samples("train"), index.samples("test")) == (7, 5)


def test_training_reads_the_others_and_evaluation_the_reserved_ones(tars: Any) -> None:
    index = index_existing(tars, test_images=20)
    data = DataSet(store=tars, index=index)
    batches = ShardBatches([data], "train", seed=1, global_batch=8).batches(
        Position(epoch=0, images=0)
    )
    seen = {key for _ in range(10) for key in next(batches).keys}
    batches.close()
    reserved = set(_keys(tars, index, "test"))
    assert len(seen) == 80
    assert not seen & reserved
    images, keys, _ = read_samples(tars, index, "test", 0, 20)
    assert set(keys) == reserved
    assert images[:, 0, 0, 0].tolist() == list(map(int, keys))
    numbers, _ = read_good_images(tars, index, "test", range(20), Quarantine(0))
    assert numbers == list(range(20))


def test_later_calls_keep_the_choice_until_it_is_ended(tars: Any) -> None:
    plain = index_existing(tars)
    index = index_existing(tars, test_images=10)
    assert index.fingerprint != plain.fingerprint
    chosen = _keys(tars, index, "test")
    assert index_existing(tars) == index
    summed = index_existing(tars, checksums=True)
    assert _keys(tars, summed, "test") == chosen
    assert index_existing(tars) == summed  # checksums are not lost
    assert verify(summed, tars) == []
    tars.write("train-4.tar", _tar(range(100, 120)))
    assert index_existing(tars).samples("test") == 10
    assert index_existing(tars, test_images=0).samples("test") == 0


def test_a_data_set_that_was_built_stays_the_same_build(faces_copy: Any) -> None:
    """Its own test split was emptied here, as that of a folder with `train` alone is."""
    store = faces_copy.store
    for shard in faces_copy.index.splits["test"]:
        store.delete([shard.name, shard.table_name, "index.json"])
    Index(
        description=faces_copy.index.description,
        width=16,
        height=16,
        splits={**faces_copy.index.splits, "test": ()},
    ).save(store)
    index = index_existing(store, test_images=32)
    assert (index.samples("train"), index.samples("test")) == (248, 32)
    assert build(faces_copy.source, store, faces_copy.options) == index


@pytest.mark.parametrize(
    ("asked", "reason"), [(100, "there are 100 images, so none would be left"), (0.999, "none")]
)
def test_something_is_left_to_train_on(asked: float, reason: str, tars: Any) -> None:
    with pytest.raises(ConfigError, match=rf"data\.test_images={asked}: .*{reason}"):
        index_existing(tars, test_images=asked)
    assert "index.json" not in {entry.name for entry in tars.list()}


def test_a_second_test_split_is_refused(tars: Any) -> None:
    tars.write("val.tar", _tar(range(200, 203)))
    with pytest.raises(ConfigError, match=r"a test split already.*val\.tar"):
        index_existing(tars, test_images=10)


def test_verify_notices_a_sample_that_is_in_no_split(tars: Any) -> None:
    index = index_existing(tars, test_images=10)
    shard = next(s for s in index.splits["train"] if s.whole)
    tars.write(shard.table_name, tars.read(shard.table_name)[:-1])
    (problem,) = verify(index, tars)
    assert shard.table_name in problem.reason
