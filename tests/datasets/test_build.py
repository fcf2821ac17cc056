"""Shards and index: plain WebDataset, byte for byte repeatable, left alone when they fit."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

from datasets.avatars import AvatarSource
from datasets.build import build
from datasets.index import Index, index_existing
from datasets.source import BuildOptions, Sample
from ganinv.errors import DataError
from ganinv.seams import Store

# `faces` is `conftest.Faces`, and stores are `conftest.FolderStore`.
MakeStore = Callable[[str], Any]


def _contents(store: Store) -> dict[str, bytes]:
    return {entry.name: store.read(entry.name) for entry in store.list()}


def test_the_layout_on_storage(faces: Any) -> None:
    names = [entry.name for entry in faces.store.list()]
    numbers = ["00000", "00001", "00002", "00003", "00004"]
    train = [f"train/{n}.{ending}" for n in numbers for ending in ("index.jsonl", "tar")]
    assert names == ["index.json", "test/00000.index.jsonl", "test/00000.tar", *train]
    assert faces.index.samples("train") == 280
    assert faces.index.samples("test") == 40


def test_a_second_build_has_the_same_bytes(faces: Any, make_store: MakeStore) -> None:
    again = make_store("again")
    build(AvatarSource(faces.options), again, faces.options)
    assert _contents(again) == _contents(faces.store)


def test_webdataset_itself_reads_our_tars(faces: Any) -> None:
    shards = [shard.name for shard in faces.index.shards]
    urls = [f"file:{faces.store.folder / name}" for name in shards]
    read = list(webdataset.WebDataset(urls, shardshuffle=False))
    made = sorted(faces.source.samples(), key=lambda sample: sample.split == "test")
    assert len(read) == len(made) == 320
    for theirs, ours in zip(read, made, strict=True):
        assert theirs["__key__"] == ours.key
        assert json.loads(theirs["json"]) == ours.attributes
        assert np.array_equal(np.array(Image.open(io.BytesIO(theirs["png"]))), ours.image_HWC)


def test_members_have_a_fixed_owner_mode_and_time(faces: Any) -> None:
    with tarfile.open(faces.store.folder / "train" / "00000.tar") as tar:
        infos = {(m.uid, m.gid, m.uname, m.gname, m.mode, m.mtime, m.isreg()) for m in tar}
    assert infos == {(0, 0, "", "", 0o644, 0, True)}


def test_progress_ends_with_everything(faces: Any, make_store: MakeStore) -> None:
    store = make_store("progress")
    seen: list[tuple[int, int, int]] = []
    options = BuildOptions(images=10, resolution=8)
    build(AvatarSource(options), store, options, lambda *figures: seen.append(figures))
    assert [done for done, _, _ in seen] == [*range(1, 11), 10]
    assert {total for _, total, _ in seen} == {10}
    tars = [e.size_bytes for e in store.list() if e.name.endswith(".tar")]
    assert seen[-1][2] == sum(tars)


def test_shards_are_cut_by_bytes(make_store: MakeStore) -> None:
    options = BuildOptions(images=24, resolution=256, shard_bytes=2**20)
    store = make_store("bytes")

    class Noise(AvatarSource):
        def samples(self) -> Iterator[Sample]:
            for number, sample in enumerate(super().samples()):
                noise = np.random.default_rng(number).integers(0, 256, (256, 256, 3), np.uint8)
                sample.image_HWC[:] = noise
                yield sample

    index = build(Noise(options), store, options)
    assert [shard.samples for shard in index.splits["train"]] == [6, 6, 6, 3]


def test_an_equal_build_is_left_alone_and_another_refused(faces_copy: Any) -> None:
    before = _contents(faces_copy.store)
    faces_copy.store.write = None  # writing anything at all would fail
    assert build(faces_copy.source, faces_copy.store, faces_copy.options) == faces_copy.index
    other = BuildOptions(images=320, resolution=16, seed=8)
    with pytest.raises(DataError, match=r"holds another data set .*choose another data\.url"):
        build(AvatarSource(other), faces_copy.store, other)
    assert _contents(faces_copy.store) == before


def test_foreign_tars_are_not_overwritten(make_store: MakeStore) -> None:
    store = make_store("foreign")
    store.write("train/00000.tar", b"precious")
    options = BuildOptions(images=10, resolution=8)
    with pytest.raises(DataError, match="tars without an index"):
        build(AvatarSource(options), store, options)
    assert _contents(store) == {"train/00000.tar": b"precious"}


class _Interrupted(AvatarSource):
    def samples(self) -> Iterator[Sample]:
        for number, sample in enumerate(super().samples()):
            if number == 200:
                raise KeyboardInterrupt
            yield sample


def test_an_interrupted_build_starts_over_and_leaves_nothing(make_store: MakeStore) -> None:
    store, fresh = make_store("interrupted"), make_store("fresh")
    with pytest.raises(KeyboardInterrupt):
        build(
            _Interrupted(BuildOptions(images=300, resolution=8)), store, BuildOptions(resolution=8)
        )
    assert "train/00002.tar" in _contents(store)
    with pytest.raises(DataError, match="is missing"):
        Index.load(store)
    with pytest.raises(DataError, match="was interrupted"):
        index_existing(store)
    options = BuildOptions(images=20, resolution=8)
    for place in (store, fresh):
        build(AvatarSource(options), place, options)
    assert _contents(store) == _contents(fresh)
