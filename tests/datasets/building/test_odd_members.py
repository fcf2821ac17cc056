"""One odd member of a tar is named, counted and left out; it does not reject the whole set."""

import io
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from datasets.building.build import build
from datasets.building.index_existing import index_existing
from datasets.building.report import BuildReport
from datasets.parallel import no_progress
from datasets.shards.index import Index
from datasets.shards.verify import verify
from datasets.sources.base import BuildOptions, Inputs
from datasets.sources.find import find_source
from datasets.streaming.samples import read_samples
from ganinv.errors import DataError
from tests.support.picture_kinds import KINDS

MakeStore = Callable[[str], Any]
Member = tuple[str, bytes] | tarfile.TarInfo


def _image(size: int = 16) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), "red").save(file, "PNG")
    return file.getvalue()


IMAGE, DEEP = _image(), KINDS["greyscale of 16 bits"].data


def _link(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "0.png"
    return info


def _tar(members: list[Member]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return file.getvalue()


GOOD: list[Member] = [("0.png", IMAGE), ("0.json", b'{"a": NaN}'), ("1.png", IMAGE)]
# Odd members, the reason that counts them, and the names that are given.
ODD: dict[str, tuple[list[Member], str, list[str]]] = {
    "json without image": ([("x.json", b"{}")], "samples without an image", ["a.tar: x"]),
    "two images": (
        [("x.png", IMAGE), ("x.jpg", IMAGE)],
        "samples with several images",
        ["a.tar: x"],
    ),
    "dots": (
        [("IMG.1.png", IMAGE), ("IMG.2.png", IMAGE)],
        "images with a dot inside their name",
        ["a.tar: IMG.1.png", "a.tar: IMG.2.png"],
    ),
    "one name twice": (
        [("x.png", IMAGE), ("x.png", IMAGE)],
        "samples with two members of one name",
        ["a.tar: x"],
    ),
    "members apart": (
        [("x.png", IMAGE), ("y.png", IMAGE), ("x.json", b"{}")],
        "samples in several places of a tar",
        ["a.tar: x"],
    ),
    "symbolic link": ([_link("x.png", tarfile.SYMTYPE)], "samples with links", ["a.tar: x"]),
    "hard link": ([_link("x.png", tarfile.LNKTYPE)], "samples with links", ["a.tar: x"]),
    "pipe": ([_link("x.png", tarfile.FIFOTYPE)], "samples with links", ["a.tar: x"]),
    "format": ([("x.heic", b"-")], "images in a format that cannot be read", ["a.tar: x"]),
}
# What only indexing reads: a build reads it later, and counts it as unreadable then.
ODD_CONTENT: dict[str, tuple[list[Member], str, list[str]]] = {
    "no picture": (
        [("x.png", b"<html>")],
        "unreadable images",
        ["a.tar: x: no picture of a format that can be read"],
    ),
    "16 bits": (
        [("x.png", DEEP)],
        "unreadable images",
        ["a.tar: x: its pixels are I;16, not 8 bits a channel; convert it before"],
    ),
    "another size": (
        [("x.png", _image(20))],
        "images of another size",
        ["a.tar: x: 20 × 20 pixels instead of 16 × 16"],
    ),
    "a list for attributes": (
        [("x.png", IMAGE), ("x.json", b"[1]")],
        "samples whose attributes are not a JSON object",
        ["a.tar: x: a list instead of an object"],
    ),
    "attributes that are not JSON": (
        [("x.png", IMAGE), ("x.json", b"{")],
        "samples whose attributes are not a JSON object",
        [],
    ),
}
# What never was a sample is only noted.
NOTED: dict[str, tuple[list[Member], str, list[str]]] = {
    "readme": (
        [("README.md", b"-"), ("LICENSE", b"-"), ("labels.csv", b"-")],
        "tar members that belong to no image",
        ["a.tar: LICENSE", "a.tar: README.md", "a.tar: labels.csv"],
    ),
    "link to a text": ([_link("x.txt", tarfile.SYMTYPE)], "tar members", ["a.tar: x.txt"]),
}


def _build(tars: Any, store: Any, max_unreadable: float) -> Index:
    options = BuildOptions(resolution=16, input=str(tars.folder), max_unreadable=max_unreadable)
    inputs = Inputs(open_store=lambda _: tars, show_progress=lambda _: no_progress)
    return build(find_source("webdataset", options, inputs), store, options)


@pytest.mark.parametrize("case", ODD | ODD_CONTENT | NOTED)
def test_indexing_leaves_out_odd_members_within_the_limit(case: str, make_store: MakeStore) -> None:
    odd, reason, names = (ODD | ODD_CONTENT | NOTED)[case]
    store = make_store("tars")
    store.write("a.tar", _tar([*GOOD, *odd]))
    store.write("b.tar", _tar([]))
    store.write("c.tar", _tar(GOOD))
    if case not in NOTED:
        with pytest.raises(DataError, match=r"would be left out .*a\.tar.*data\.max_unreadable"):
            index_existing(store)
    index = index_existing(store, max_unreadable=0 if case in NOTED else 0.5)
    _, keys, attributes = read_samples(store, index, "train", 0, index.samples("train"))
    assert [key for key in keys if key in "01"] == ["0", "1"] * 2
    assert attributes[0] == {"a": None}
    left_out = BuildReport.load(store).left_out.facts()
    assert left_out.pop("tars without any sample")["examples"] == ["b.tar"]
    (group,) = left_out.items()
    assert group[0].startswith(reason)
    if names:
        assert group[1]["examples"] == names
    assert verify(index, store) == []
    assert index_existing(store, max_unreadable=0.5) == index


@pytest.mark.parametrize("case", ODD | NOTED)
def test_building_leaves_out_odd_members_within_the_limit(case: str, make_store: MakeStore) -> None:
    odd, reason, names = (ODD | NOTED)[case]
    tars = make_store("tars")
    tars.write("a.tar", _tar([*GOOD, *odd]))
    if case not in NOTED:
        with pytest.raises(DataError, match=r"would be left out .*a\.tar.*data\.max_unreadable"):
            _build(tars, make_store("refused"), 0.01)
    store = make_store("built")
    index = _build(tars, store, 0 if case in NOTED else 0.7)
    assert index.images in (2, 3)
    report = BuildReport.load(store)
    (group,) = report.left_out.facts().items()
    assert group[0].startswith(reason)
    assert group[1]["examples"] == names
    assert all(name in report.closing_line for name in names)
    assert b'{"a":null}' in store.read(index.shards[0].name)


def test_a_build_names_unreadable_images_by_tar_and_key(make_store: MakeStore) -> None:
    tars = make_store("tars")
    tars.write("a.tar", _tar([*GOOD, ("x/y.png", DEEP)]))
    with pytest.raises(DataError, match=r"a\.tar: x/y: its pixels are I;16"):
        _build(tars, make_store("built"), 0.01)


def test_tars_without_images_are_refused_by_their_content(make_store: MakeStore) -> None:
    store = make_store("tars")
    store.write("a.tar", _tar([("README.md", b"-")]))
    expected = r"holds no images, only tar members that belong to no image: 1 \(a\.tar: README\.md"
    with pytest.raises(DataError, match=expected):
        index_existing(store)
    with pytest.raises(DataError, match=expected):
        _build(store, make_store("built"), 0.01)


@pytest.mark.parametrize("content", [b"{}", b"[]", b"{", b'{"skipped": [1]}', b"\xff"])
def test_another_program_s_report_is_kept(content: bytes, make_store: MakeStore) -> None:
    store = make_store("tars")
    store.write("a.tar", _tar(GOOD))
    store.write("build.json", content)
    with pytest.raises(DataError, match=r"build\.json is not a report of this program.*move it"):
        index_existing(store)
    assert [entry.name for entry in store.list()] == ["a.tar", "build.json"]


def test_a_sample_that_appears_after_indexing_is_a_problem(make_store: MakeStore) -> None:
    """The table lacks it, and nothing is wrong with it."""
    store = make_store("tars")
    broken = b"\1" * len(IMAGE)
    store.write("a.tar", _tar([*GOOD, ("x.png", broken)]))
    index = index_existing(store, max_unreadable=0.5)
    store.write("a.tar", store.read("a.tar").replace(broken, IMAGE))
    (problem,) = verify(index, store)
    assert problem[:2] == ("a.tar", None)
    assert "do not lie where its table says" in problem.reason


def test_verify_names_attributes_that_are_not_an_object(make_store: MakeStore) -> None:
    store = make_store("tars")
    store.write("a.tar", _tar([("0.png", IMAGE), ("0.json", b'{"a": 123}')]))
    index = index_existing(store)
    store.write("a.tar", store.read("a.tar").replace(b'{"a": 123}', b'[{"a": 1}]'))
    (problem,) = verify(index, store)
    assert problem[:2] == ("a.tar", "0")
    assert "are a list instead of an object" in problem.reason
