"""The index: round trip, corruption, existing tars, and the cheap check of sizes."""

import gzip
import io
import json
import random
import tarfile
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image

from datasets.building.index_existing import index_existing
from datasets.shards.index import Index, check_sizes
from datasets.shards.shard import load_table
from datasets.shards.verify import verify
from datasets.streaming.samples import read_samples
from ganinv.errors import DataError

# `faces` is `conftest.Faces`, and stores are `conftest.FolderStore`.
MakeStore = Callable[[str], Any]


EMPTY = Index(description={}, width=8, height=8, splits={"train": (), "test": ()})


def _image(extension: str = "png", size: tuple[int, int] = (8, 8)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, {"jpg": "jpeg"}.get(extension, extension))
    return file.getvalue()


def _tar(members: dict[str, bytes], **changes: Any) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in changes.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def test_round_trip(faces: Any) -> None:
    loaded = Index.load(faces.store)
    assert loaded == faces.index
    assert loaded.fingerprint == faces.index.fingerprint
    assert loaded.description["source"] == "avatars"


def test_tables_hold_the_byte_ranges_of_images_and_attributes(faces: Any) -> None:
    samples = {sample.key: sample for sample in faces.samples}
    for shard in faces.index.shards:
        tar = faces.store.read(shard.name)
        for member in load_table(faces.store, shard):
            key, extension, start, size, json_start, json_size, crc32 = member
            assert crc32 == zlib.crc32(tar[start : start + size])
            assert extension == "png"
            assert Image.open(io.BytesIO(tar[start : start + size])).size == (16, 16)
            attributes = json.loads(tar[json_start : json_start + json_size])
            assert attributes == samples[key].attributes


def test_a_missing_corrupt_or_foreign_index_is_refused(
    faces_copy: Any, make_store: MakeStore
) -> None:
    with pytest.raises(DataError, match=r"index\.json is missing.*data build"):
        Index.load(make_store("empty"))
    store, whole = faces_copy.store, faces_copy.store.read("index.json")
    content = json.loads(whole)
    corrupt = [
        (whole[:-40], "is corrupt"),
        (b"\xff\xfe", "index of another program"),
        (b"[]", "index of another program"),
        (json.dumps({**content, "version": 1}).encode(), "version 1"),
        (json.dumps({**content, "width": 17}).encode(), "fingerprint does not match"),
        (json.dumps({**content, "splits": {}}).encode(), "is corrupt"),
        (json.dumps({**content, "splits": {"train": [["x", 1]], "test": []}}).encode(), "corrupt"),
    ]
    for data, reason in corrupt:
        store.write("index.json", data)
        with pytest.raises(DataError, match=reason):
            Index.load(store)


def test_a_changed_table_is_noticed(faces_copy: Any) -> None:
    shard = faces_copy.index.splits["train"][1]
    faces_copy.store.write(shard.table_name, b"[]\n")
    with pytest.raises(DataError, match=r"00001\.index\.safetensors"):
        load_table(faces_copy.store, shard)
    faces_copy.store.delete([shard.table_name])
    with pytest.raises(DataError, match=r"00001\.index\.safetensors is missing"):
        load_table(faces_copy.store, shard)


def test_the_preflight_names_missing_truncated_and_empty_shards(faces_copy: Any) -> None:
    store, index = faces_copy.store, faces_copy.index
    check_sizes(index, store)
    requests = store.requests
    store.write("train/00000.tar", store.read("train/00000.tar")[:-600])
    store.write("train/00001.tar", b"")
    store.delete(["train/00002.tar", "train/00003.index.safetensors"])
    expected = (
        r"00000\.tar has \d+ bytes instead of \d+; train/00001\.tar has 0 bytes.*"
        r"00002\.tar is missing; train/00003\.index\.safetensors is missing"
    )
    with pytest.raises(DataError, match=expected):
        check_sizes(index, store)
    assert store.requests == requests + 1  # the read above: the check only lists objects
    with pytest.raises(DataError, match="no training samples"):
        check_sizes(EMPTY, store)


def test_existing_tars_of_all_kinds(make_store: MakeStore) -> None:
    store = make_store("existing")
    store.write(
        "deep/train/a-0.tar",
        _tar(
            {
                "README": b"hello",
                "x/1.json": b'{"a": 1}',
                "x/1.JPG": _image("jpg"),
                "x/1.txt": b"text",
                "x/2.webp": _image("webp"),
                "._x": b"junk",
                f"{'long' * 40}.png": _image(),
            }
        ),
    )
    store.write("deep/val/b.tar", _tar({"1.png": _image(), "1.seg.png": b"-"}))
    store.write("notes.txt", b"-")
    index = index_existing(store)
    assert index.resolution == 8
    assert {s: index.samples(s) for s in ("train", "test")} == {"train": 3, "test": 1}
    images, keys, attributes = read_samples(store, index, "train", 0, 3)
    assert keys == ("x/1", "x/2", "long" * 40)
    assert attributes == ({"a": 1}, {}, {})
    assert images.shape == (3, 3, 8, 8)
    assert images.dtype == torch.uint8
    assert images[2, 0].min() == 255
    assert Index.load(store) == index
    assert index_existing(store) == index
    assert verify(index, store) == []


def test_indexing_again_keeps_the_description(faces_copy: Any) -> None:
    assert index_existing(faces_copy.store) == faces_copy.index
    faces_copy.store.delete(["index.json", "train/00000.index.safetensors"])
    again = index_existing(faces_copy.store, checksums=True)
    assert again.splits == faces_copy.index.splits
    assert again.description == {"source": "tars"}


def test_checksums_only_if_asked_and_never_lost(faces_copy: Any) -> None:
    store, built = faces_copy.store, faces_copy.index
    store.delete(["index.json"])
    plain = index_existing(store)
    assert {shard.sha256 for shard in plain.shards} == {None}
    assert plain.fingerprint != built.fingerprint
    assert verify(plain, store) == []
    summed = index_existing(store, checksums=True)
    assert summed.splits == built.splits
    assert index_existing(store) == summed


def test_only_headers_of_large_members_are_read(make_store: MakeStore) -> None:
    store = make_store("large")
    noise = Image.frombytes("RGB", (1024, 1024), random.Random(1).randbytes(3 * 2**20))
    file = io.BytesIO()
    noise.save(file, "PNG", compress_level=0)
    store.write("a.tar", _tar({f"{i}.png": file.getvalue() for i in range(5)}))
    seen: list[tuple[int, int, int]] = []
    index = index_existing(store, lambda *figures: seen.append(figures))
    assert (index.width, index.height, index.samples("train")) == (1024, 1024, 5)
    assert store.read_bytes < 0.05 * index.splits["train"][0].size_bytes
    assert seen[-1] == (1, 1, store.read_bytes)


def test_images_need_not_be_square(make_store: MakeStore) -> None:
    store = make_store("oblong")
    store.write("a.tar", _tar({"1.png": _image(size=(8, 9)), "2.png": _image(size=(8, 9))}))
    index = index_existing(store)
    assert (index.width, index.height) == (8, 9)
    assert verify(index, store) == []
    assert (index.resolution, index.size) == ("8x9", (8, 9))


def test_file_names_decide_the_split_too(make_store: MakeStore) -> None:
    store = make_store("names")
    for name in ("train-000.tar", "val-000.tar", "x/training.tar", "test/train-0.tar"):
        store.write(name, _tar({"1.png": _image()}))
    index = index_existing(store)
    assert [shard.name for shard in index.splits["test"]] == ["test/train-0.tar", "val-000.tar"]


REFUSED = {
    "absolute": (_tar({"/etc/1.png": _image()}), "not allowed"),
    "parent": (_tar({"a/../../1.png": _image()}), "not allowed"),
    "backslash": (_tar({"..\\1.png": _image()}), "not allowed"),
    "sparse": (_tar({"1.png": b""}, type=tarfile.GNUTYPE_SPARSE), "sparse"),
    "packed inside": (gzip.compress(_tar({"1.png": _image()})), "compressed by gzip"),
    "no tar": (b"nothing" * 500, "not a complete, uncompressed tar"),
    "empty": (b"", "not a complete, uncompressed tar"),
    "zeros": (bytes(2**20), "not a complete, uncompressed tar"),
    "cut": (_tar({"1.png": _image(), "2.png": _image()})[:2048], "truncated or corrupt"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_tars(case: str, make_store: MakeStore) -> None:
    data, reason = REFUSED[case]
    store = make_store("refused")
    store.write("a.tar", data)
    with pytest.raises(DataError, match=rf"a\.tar.*{reason}"):
        index_existing(store)
    assert "index.json" not in {entry.name for entry in store.list()}


def test_compressed_tars_and_none_are_refused(make_store: MakeStore) -> None:
    store = make_store("compressed")
    with pytest.raises(DataError, match="no tars"):
        index_existing(store)
    store.write("a.tar.gz", b"-")
    with pytest.raises(DataError, match=r"compressed tars \(a\.tar\.gz\)"):
        index_existing(store)
