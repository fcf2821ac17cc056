"""Nothing is built where other files lie, and the message says what they are and what to do."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from datasets.building.build import build
from datasets.building.index_existing import index_existing
from datasets.shards.index import Index
from datasets.shards.verify import verify
from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions
from ganinv.errors import DataError

# Stores are `conftest.FolderStore`.
MakeStore = Callable[[str], Any]
OPTIONS = BuildOptions(images=20, resolution=8)

FOREIGN = {
    "photographs": (
        ["b/x.JPG", "b/y.heic"],
        r"images that are no data set \(b/x\.JPG, b/y\.heic\)",
    ),
    "a folder that has the name of our journal": (["building/0001.jpg"], "images that are no data"),
    "tars": (["a.tar"], r"tars without an index \(a\.tar\); index them by `data index data\.url="),
    "tars named like ours": (["train/00000.tar"], "tars without an index"),
    "tables": (["train-0.parquet"], "`data build parquet data.input="),
    "LMDB": (["data.mdb", "lock.mdb"], "`data build lsun data.input="),
    "compressed tars": (["a.tar.gz"], "decompress them"),
    "archives": (["a.zip"], "unpack them"),
    "anything": (["report.docx"], r"files that are no data set \(report\.docx\)"),
    "beside the journal's files": (["index.building.json", "building/notes.txt"], "notes.txt"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_nothing_is_built_beside_foreign_files(case: str, make_store: MakeStore) -> None:
    names, reason = FOREIGN[case]
    store = make_store("there")
    for name in names:
        store.write(name, b"{}")
    with pytest.raises(DataError, match=reason):
        build(AvatarSource(OPTIONS), store, OPTIONS)
    assert [entry.name for entry in store.list()] == sorted(names)


@pytest.mark.parametrize("case", [c for c in FOREIGN if c != "beside the journal's files"])
def test_what_is_not_a_data_set_is_named_when_it_is_read(case: str, make_store: MakeStore) -> None:
    names, reason = FOREIGN[case]
    store = make_store("there")
    for name in names:
        store.write(name, b"{}")
    with pytest.raises(DataError, match=rf"index\.json is missing\).*{reason}"):
        Index.load(store)


def test_what_programs_leave_in_folders_is_no_obstacle(make_store: MakeStore) -> None:
    store = make_store("there")
    for name in (".DS_Store", "._x.tar", "Thumbs.db", ".git/config", "train/.directory"):
        store.write(name, b"-")
    index = build(AvatarSource(OPTIONS), store, OPTIONS)
    assert verify(index, store) == []


def test_a_folder_named_building_outlives_a_data_set_beside_it(faces_copy: Any) -> None:
    store = faces_copy.store
    for name in ("building/tower.jpg", "index.building.json", "building/00000.json"):
        store.write(name, b"{}")
    build(faces_copy.source, store, faces_copy.options)
    there = {entry.name for entry in store.list()}
    assert "building/tower.jpg" in there
    assert not {"index.building.json", "building/00000.json"} & there


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"shards": [], "version": 2}).encode(),  # MosaicML Streaming
        json.dumps({"chunks": [], "config": {}}).encode(),  # LitData
        json.dumps({"wids_version": 1, "shardlist": []}).encode(),
        b"[]",
        b"not JSON",
    ],
)
def test_the_index_of_another_program_is_neither_replaced_nor_misunderstood(
    content: bytes, faces_copy: Any
) -> None:
    store = faces_copy.store
    store.write("index.json", content)
    for verb in (index_existing, Index.load):
        with pytest.raises(DataError, match="is the index of another program"):
            verb(store)
    with pytest.raises(DataError, match="is the index of another program"):
        build(faces_copy.source, store, faces_copy.options)
    assert store.read("index.json") == content


@pytest.mark.parametrize("kept", [0, 5, 200, -40])
def test_our_own_index_is_replaced_if_it_was_cut_off(kept: int, faces_copy: Any) -> None:
    store = faces_copy.store
    store.write("index.json", store.read("index.json")[:kept])
    assert index_existing(store).splits.keys() == faces_copy.index.splits.keys()
