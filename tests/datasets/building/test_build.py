"""Building: plain WebDataset, repeatable to the byte, resumable; finished data sets are kept."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

from datasets.building.build import build
from datasets.building.index_existing import index_existing
from datasets.building.report import BuildReport, Duplicate
from datasets.shards.index import Index
from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions, Sample, Skipped, Source, Work
from ganinv.errors import DataError
from ganinv.seams.stores import Store

# `faces` is `conftest.Faces`, and stores are `conftest.FolderStore`.
MakeStore = Callable[[str], Any]


def _contents(store: Store) -> dict[str, bytes]:
    return {entry.name: store.read(entry.name) for entry in store.list()}


def test_the_layout_on_storage(faces: Any) -> None:
    names = [entry.name for entry in faces.store.list()]
    numbers = ["00000", "00001", "00002", "00003", "00004"]
    train = [f"train/{n}.{ending}" for n in numbers for ending in ("index.safetensors", "tar")]
    assert names == [
        "build.json",
        "index.json",
        "test/00000.index.safetensors",
        "test/00000.tar",
        *train,
    ]
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
    made = sorted(faces.samples, key=lambda sample: sample.split == "test")
    assert len(read) == len(made) == 320
    for theirs, ours in zip(read, made, strict=True):
        assert theirs["__key__"] == ours.key
        assert json.loads(theirs["json"]) == ours.attributes
        assert np.array_equal(np.array(Image.open(io.BytesIO(theirs["png"]))), ours.image_HWC)


def test_members_have_a_fixed_owner_mode_and_time(faces: Any) -> None:
    with tarfile.open(faces.store.folder / "train" / "00000.tar") as tar:
        infos = {(m.uid, m.gid, m.uname, m.gname, m.mode, m.mtime, m.isreg()) for m in tar}
    assert infos == {(0, 0, "", "", 0o644, 0, True)}


def test_progress_begins_with_nothing_and_ends_with_everything(make_store: MakeStore) -> None:
    store = make_store("progress")
    seen: list[tuple[int, int, int]] = []
    options = BuildOptions(images=80, resolution=8)
    build(AvatarSource(options), store, options, lambda *figures: seen.append(figures))
    done = [done for done, _, _ in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 80)
    assert {total for _, total, _ in seen} == {80}
    tars = [e.size_bytes for e in store.list() if e.name.endswith(".tar")]
    assert 0 < seen[-1][2] <= sum(tars)


class _Made(Source):
    """Noise images of given seeds, the last eighth for tests.

    The seed None makes an unreadable image, and "stop" raises KeyboardInterrupt.
    """

    def __init__(self, *seeds: int | str | None, resolution: int = 8) -> None:
        self._seeds = seeds
        self._resolution = resolution
        self.count = len(seeds)

    def work(self, first: int) -> Iterator[Work]:
        for place in range(first, self.count):
            yield partial(self._make, place)

    def _make(self, place: int) -> list[Sample | Skipped]:
        seed = self._seeds[place]
        if seed == "stop":
            raise KeyboardInterrupt
        if not isinstance(seed, int):
            return [Skipped(f"file {place}", "is corrupt")]
        shape = (self._resolution, self._resolution, 3)
        split = "test" if place >= self.count - self.count // 8 else "train"
        image = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
        return [Sample(key=f"{place:03d}", image_HWC=image, attributes={"seed": seed}, split=split)]

    def description(self) -> dict[str, Any]:
        return {"source": "made", "count": self.count}


def test_shards_are_cut_by_bytes(make_store: MakeStore) -> None:
    options = BuildOptions(resolution=256, shard_bytes=2**20)
    index = build(_Made(*range(24), resolution=256), make_store("bytes"), options)
    assert [shard.samples for shard in index.splits["train"]] == [6, 6, 6, 3]


def test_duplicates_are_reported_and_dropped_if_asked(make_store: MakeStore) -> None:
    source = _Made(5, 6, 5, 7, 5, 8, 9, 6)
    kept, dropped = make_store("kept"), make_store("dropped")
    index = build(source, kept, BuildOptions(resolution=8))
    found = [Duplicate("002", "000"), Duplicate("004", "000"), Duplicate("007", "001")]
    report = BuildReport.load(kept)
    assert (report.duplicates, report.dropped) == (found, False)
    assert {s: index.samples(s) for s in index.splits} == {"train": 7, "test": 1}
    index = build(source, dropped, BuildOptions(resolution=8, drop_duplicates=True))
    report = BuildReport.load(dropped)
    assert (report.duplicates, report.dropped) == (found, True)
    closing_line = "Left out: images with the pixels of an earlier image: 3 (002, 004, 007)"
    assert report.closing_line == closing_line
    assert {s: index.samples(s) for s in index.splits} == {"train": 5, "test": 0}
    with pytest.raises(DataError, match="holds another data set"):
        build(source, dropped, BuildOptions(resolution=8))


# Shards hold 64 samples. The build stops within the first shard, right after a shard, in the test
# split, and at the last sample.
@pytest.mark.parametrize("stop", [10, 64, 100, 128, 190, 217, 239])
@pytest.mark.parametrize("drop", [False, True])
def test_an_interrupted_build_resumes(stop: int, drop: bool, make_store: MakeStore) -> None:
    options = BuildOptions(resolution=8, drop_duplicates=drop, max_unreadable=0.5)
    seeds: list[int | str | None] = [i // 3 if i % 5 == 0 else i for i in range(240)]
    seeds[3] = seeds[63] = seeds[209] = seeds[238] = None
    whole, store = make_store("whole"), make_store("stopped")
    build(_Made(*seeds), whole, options)
    assert len(BuildReport.load(whole).skipped) == 4
    with pytest.raises(KeyboardInterrupt):
        build(_Made(*seeds[:stop], "stop", *seeds[stop + 1 :]), store, options)
    finished = {name for name in store.written if name.endswith(".tar")}
    assert bool(finished) == (stop >= 100)
    with pytest.raises(DataError, match="is missing"):
        Index.load(store)
    if finished:
        with pytest.raises(DataError, match="was interrupted"):
            index_existing(store)
    store.written.clear()
    # Images of finished shards are not drawn again: drawing one would stop the build.
    start = len(finished) * 64
    rest: list[int | str | None] = ["stop" if i < start - 64 else s for i, s in enumerate(seeds)]
    build(_Made(*rest), store, options)
    assert not finished & set(store.written)
    assert _contents(store) == _contents(whole)


@pytest.mark.parametrize("missing", ["tar", "entry", "table"])
def test_an_unfinished_shard_is_written_again(missing: str, make_store: MakeStore) -> None:
    options = BuildOptions(resolution=8)
    whole, store = make_store("whole"), make_store("stopped")
    build(_Made(*range(240)), whole, options)
    with pytest.raises(KeyboardInterrupt):
        build(_Made(*range(200), "stop", *range(201, 240)), store, options)
    if missing == "tar":
        store.write("train/00001.tar", b"cut")
    else:
        name = "building/00001.json" if missing == "entry" else "train/00001.index.safetensors"
        store.delete([name])
    store.written.clear()
    build(_Made(*range(240)), store, options)
    assert "train/00001.tar" in store.written
    assert "train/00000.tar" not in store.written
    assert _contents(store) == _contents(whole)


def test_the_same_data_set_stays_as_it_is_and_another_is_refused(faces_copy: Any) -> None:
    before = _contents(faces_copy.store)
    faces_copy.store.write = None  # any write would fail
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


def test_an_interrupted_build_of_another_set_leaves_nothing(make_store: MakeStore) -> None:
    store, fresh = make_store("interrupted"), make_store("fresh")
    with pytest.raises(KeyboardInterrupt):
        build(_Made(*range(200), "stop", *range(201, 240)), store, BuildOptions(resolution=8))
    assert "train/00002.tar" in _contents(store)
    options = BuildOptions(images=20, resolution=8)
    for place in (store, fresh):
        build(AvatarSource(options), place, options)
    assert _contents(store) == _contents(fresh)


def test_the_journal_of_a_build_stopped_after_its_index_is_deleted(faces_copy: Any) -> None:
    before = _contents(faces_copy.store)
    faces_copy.store.write("index.building.json", b"{}")
    faces_copy.store.write("building/00000.json", b"{}")
    assert build(faces_copy.source, faces_copy.store, faces_copy.options) == faces_copy.index
    assert _contents(faces_copy.store) == before
