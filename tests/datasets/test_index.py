"""The index: round trip, damage, tars that lie there already, and the cheap preflight."""

import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets.index import Index, check_sizes, index_existing
from datasets.loader import read_samples
from datasets.shards import load_table
from datasets.tars import TarBuilder, scan_tar
from datasets.verify import verify
from ganinv.errors import DataError

# `faces` is `conftest.Faces`, and stores are `conftest.FolderStore`.
MakeStore = Callable[[str], Any]


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


def test_tables_say_where_images_and_attributes_lie(faces: Any) -> None:
    samples = {sample.key: sample for sample in faces.source.samples()}
    for shard in faces.index.shards:
        tar = faces.store.read(shard.name)
        for key, extension, start, size, json_start, json_size in load_table(faces.store, shard):
            assert extension == "png"
            assert Image.open(io.BytesIO(tar[start : start + size])).size == (16, 16)
            attributes = json.loads(tar[json_start : json_start + json_size])
            assert attributes == samples[key].attributes


def test_a_missing_damaged_or_foreign_index(faces_copy: Any, make_store: MakeStore) -> None:
    with pytest.raises(DataError, match=r"index\.json is missing.*data build"):
        Index.load(make_store("empty"))
    store, whole = faces_copy.store, faces_copy.store.read("index.json")
    content = json.loads(whole)
    damaged = [
        (whole[:-40], "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b"[]", "version None"),
        (json.dumps({**content, "version": 2}).encode(), "version 2"),
        (json.dumps({**content, "resolution": 17}).encode(), "fingerprint does not fit"),
        (json.dumps({**content, "splits": {}}).encode(), "is damaged"),
        (json.dumps({**content, "splits": {"train": [{"x": 1}], "test": []}}).encode(), "damaged"),
    ]
    for data, reason in damaged:
        store.write("index.json", data)
        with pytest.raises(DataError, match=reason):
            Index.load(store)


def test_a_changed_table_is_noticed(faces_copy: Any) -> None:
    shard = faces_copy.index.splits["train"][1]
    faces_copy.store.write(shard.table_name, b"[]\n")
    with pytest.raises(DataError, match=r"00001\.index\.jsonl"):
        load_table(faces_copy.store, shard)
    faces_copy.store.delete([shard.table_name])
    with pytest.raises(DataError, match=r"00001\.index\.jsonl is missing"):
        load_table(faces_copy.store, shard)


def test_the_preflight_names_missing_truncated_and_empty_shards(faces_copy: Any) -> None:
    store, index = faces_copy.store, faces_copy.index
    check_sizes(index, store)
    requests = store.requests
    store.write("train/00000.tar", store.read("train/00000.tar")[:-600])
    store.write("train/00001.tar", b"")
    store.delete(["train/00002.tar", "train/00003.index.jsonl"])
    expected = (
        r"00000\.tar has \d+ bytes instead of \d+; train/00001\.tar has 0 bytes.*"
        r"00002\.tar is missing; train/00003\.index\.jsonl is missing"
    )
    with pytest.raises(DataError, match=expected):
        check_sizes(index, store)
    assert store.requests == requests + 1  # that of this test: listing is all it does
    with pytest.raises(DataError, match="no training samples"):
        check_sizes(Index(description={}, resolution=8, splits={"train": (), "test": ()}), store)


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
    faces_copy.store.delete(["index.json", "train/00000.index.jsonl"])
    again = index_existing(faces_copy.store)
    assert again.splits == faces_copy.index.splits
    assert again.description == {"source": "tars", "resolution": 16}


REFUSED = {
    "absolute": (_tar({"/etc/1.png": _image()}), "not allowed"),
    "parent": (_tar({"a/../../1.png": _image()}), "not allowed"),
    "backslash": (_tar({"..\\1.png": _image()}), "not allowed"),
    "symlink": (_tar({"1.png": b""}, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "link"),
    "hardlink": (_tar({"1.png": b""}, type=tarfile.LNKTYPE, linkname="2.png"), "link"),
    "device": (_tar({"1.png": b""}, type=tarfile.CHRTYPE), "device"),
    "no samples": (_tar({"README": b"-"}), "no samples"),
    "no image": (_tar({"1.json": b"{}"}), "0 images"),
    "two images": (_tar({"1.png": _image(), "1.jpg": _image("jpg")}), "2 images"),
    "twice": (_tar({"1.png": _image(), "2.png": _image(), "1.json": b"{}"}), "appears twice"),
    "no square": (_tar({"1.png": _image(size=(8, 9))}), "8 × 9 pixels"),
    "two sizes": (_tar({"1.png": _image(), "2.png": _image(size=(9, 9))}), "9 × 9 pixels"),
    "no picture": (_tar({"1.png": b"nothing"}), "cannot be decoded"),
    "no tar": (b"\x1f\x8b" + b"gzip" * 500, "no uncompressed, whole tar"),
    "empty": (b"", "no uncompressed, whole tar"),
    "cut": (_tar({"1.png": _image(), "2.png": _image()})[:2048], "truncated or damaged"),
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


def _plain_tar() -> bytes:
    builder = TarBuilder()
    for key in ("a", "b", "c"):
        builder.add(key, _image(), {"n": key})
    return builder.finish()


PLAIN_TAR = _plain_tar()


@settings(max_examples=150, deadline=None)
@given(
    cut=st.integers(0, len(PLAIN_TAR)),
    place=st.integers(0, len(PLAIN_TAR) - 1),
    byte=st.integers(0, 255),
)
def test_damage_is_refused_or_does_not_move_samples(cut: int, place: int, byte: int) -> None:
    changed = bytearray(PLAIN_TAR)
    changed[place] = byte
    for data in (bytes(changed), PLAIN_TAR[:cut]):
        try:
            members = scan_tar(data, "x")
        except DataError:
            continue
        # Names may be changed and images may, but all of them are there.
        assert len(members) == 3
        assert all(m.image_start + m.image_bytes <= len(data) for m in members)


def test_verify_finds_each_damage(faces_copy: Any) -> None:
    store, index = faces_copy.store, faces_copy.index
    seen: list[tuple[int, int, int]] = []
    assert verify(index, store, lambda *figures: seen.append(figures)) == []
    assert seen[-1] == (320, 320, sum(shard.size_bytes for shard in index.shards))
    shard = index.splits["train"][0]
    victim = load_table(store, shard)[5]
    tar = bytearray(store.read(shard.name))
    tar[victim.image_start + 40 : victim.image_start + 60] = bytes(20)
    store.write(shard.name, bytes(tar))
    store.delete([index.splits["train"][1].name])
    store.write(index.splits["train"][2].name, store.read(index.splits["train"][2].name)[:-9000])
    problems = verify(index, store)
    assert {p.shard for p in problems} == {f"train/0000{i}.tar" for i in range(3)}
    assert victim.key in {p.key for p in problems if p.shard == shard.name}
    assert all(p.reason for p in problems)
