"""An input that changes is noticed, also if all names and sizes stay the same; a copy is not."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.storage.opening import open_store
from datasets.parallel import no_progress
from datasets.sources.base import BuildOptions, Inputs, Skipped, Work
from datasets.sources.containers import ContainerSource
from datasets.sources.files import FileSource
from datasets.sources.find import find_source
from ganinv.errors import DataError
from launch.commands import data
from tests.support import photo_inputs

Words = list[str]


def _folder(folder: Path) -> Words:
    """Images behind links, a file that is no image, and attributes beside the folder."""
    originals, images = folder / "originals", folder / "images"
    originals.mkdir(parents=True)
    images.mkdir()
    for number in range(16):
        path = originals / f"{number:02d}.png"
        path.write_bytes(photo_inputs.photo(number) if number != 5 else b"nothing")
        (images / path.name).symlink_to(path)
    return [str(images), "data.max_unreadable=0.1"]


def _source(name: str) -> Callable[[Path], Words]:
    def make(folder: Path) -> Words:
        return [name, f"data.input={photo_inputs.MAKERS[name](folder)}"]

    return make


INPUTS: dict[str, Callable[[Path], Words]] = {"folder": _folder} | {
    name: _source(name) for name in photo_inputs.MAKERS
}


def _flip(path: Path, old: bytes, new: bytes) -> None:
    """Change bytes of a file; its size stays."""
    content = path.read_bytes()
    assert len(old) == len(new)
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def _other_photo(path: Path, number: int) -> None:
    """Another image of the same size in bytes: PNG ignores what follows its end."""
    size = path.stat().st_size
    image = photo_inputs.photo(number, (8, 7), path.suffix[1:].replace("jpg", "jpeg"))
    path.write_bytes(image + bytes(size - len(image)))


def _swap_tables(path: Path) -> None:
    """Labels of other values, of the same size. Parquet: the table is small and not compressed."""
    table = photo_inputs.pyarrow.parquet.read_table(path)
    labels = photo_inputs.pa.array([v + 1 for v in table["label"].to_pylist()])
    place = table.column_names.index("label")
    photo_inputs.pyarrow.parquet.write_table(
        table.set_column(place, "label", labels), path, row_group_size=5
    )


# Changes that keep the names and sizes of all files.
CHANGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "the target of a link": ("folder", lambda f: _other_photo(f / "originals" / "03.png", 99)),
    "an unreadable image": ("folder", lambda f: _other_photo(f / "originals" / "02.png", 98)),
    "an image of CelebA": (
        "celeba",
        lambda f: _other_photo(f / "img_align_celeba" / "000002.jpg", 99),
    ),
    "CelebA's attributes": (
        "celeba",
        lambda f: _flip(f / "list_attr_celeba.txt", b"000001.jpg  1 -1", b"000001.jpg -1 -1"),
    ),
    "CelebA's partition": (
        "celeba",
        lambda f: _flip(f / "list_eval_partition.txt", b"000014.jpg 1", b"000014.jpg 2"),
    ),
    "a label in a tar": (
        "webdataset",
        lambda f: _flip(f / "faces/train-0000.tar", b'{"number": 1}', b'{"number": 9}'),
    ),
    "a label in MNIST's format": (
        "idx",
        lambda f: _flip(f / "t10k-labels-idx1-ubyte", bytes((4, 5, 6)), bytes((4, 7, 6))),
    ),
    "labels of a table": (
        "parquet",
        lambda f: _swap_tables(f / "data" / "train-00000-of-00001.parquet"),
    ),
}


def _build(words: Words, url: Path, *more: str) -> int:
    return data.main(["build", *words, f"data.url={url}", "data.resolution=8", *more])


def _contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_input_is_noticed_although_sizes_are_the_same(
    change: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, alter = CHANGES[change]
    words = INPUTS[name](tmp_path / "input")
    assert _build(words, tmp_path / "made") == 0
    before = _contents(tmp_path / "made")
    sizes = {p: p.stat().st_size for p in (tmp_path / "input").rglob("*") if p.is_file()}
    alter(tmp_path / "input")
    for path, size in sizes.items():
        assert path.suffix == ".parquet" or path.stat().st_size == size
    with pytest.raises(DataError, match=r"other contents of this input|holds another data set"):
        _build(words, tmp_path / "made")
    assert _contents(tmp_path / "made") == before


@pytest.mark.parametrize("name", ["folder", "webdataset", "lsun"])
def test_a_copied_input_is_the_same_one(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = INPUTS[name](tmp_path / "input")
    _build(words, tmp_path / "made")
    before = _contents(tmp_path / "made")
    shutil.copytree(tmp_path / "input", tmp_path / "copy", symlinks=True)
    shutil.rmtree(tmp_path / "input")
    shutil.copytree(
        tmp_path / "copy", tmp_path / "input", copy_function=shutil.copyfile, symlinks=True
    )
    capsys.readouterr()
    assert _build(words, tmp_path / "made") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "comparing their contents" in said
    assert "which stays as it is" in said
    assert _build(words, tmp_path / "made") == 0
    assert "comparing" not in capsys.readouterr().out  # the new times are known now
    after = _contents(tmp_path / "made")
    assert {n: b for n, b in after.items() if n != "inputs.json"} == {
        n: b for n, b in before.items() if n != "inputs.json"
    }


def test_contents_are_compared_on_request_although_the_times_are_the_same(tmp_path: Path) -> None:
    words = _folder(tmp_path / "input")
    _build(words, tmp_path / "made")
    target = tmp_path / "input" / "originals" / "03.png"
    facts = target.stat()
    content = bytearray(target.read_bytes())
    content[-1] ^= 1
    with target.open("r+b") as file:  # the inode stays
        file.write(content)
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert _build(words, tmp_path / "made") == 0
    with pytest.raises(
        DataError, match=r"one of the images from 00\.png to 13\.png has changed since"
    ):
        _build(words, tmp_path / "made", "data.check=content")


def test_a_data_set_of_an_older_version_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = _folder(tmp_path / "input")
    _build(words, tmp_path / "made")
    (tmp_path / "made" / "inputs.json").write_bytes(b"{")
    with pytest.raises(DataError, match=r"inputs\.json.*is corrupt .*; delete it"):
        _build(words, tmp_path / "made")
    (tmp_path / "made" / "inputs.json").unlink()
    capsys.readouterr()
    before = _contents(tmp_path / "made")
    assert _build(words, tmp_path / "made") == 0
    assert "an older version of ganinv built it" in " ".join(capsys.readouterr().out.split())
    assert _contents(tmp_path / "made") == before


@pytest.mark.parametrize("altered", [110, None])
def test_an_interrupted_build_never_mixes_contents(
    altered: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Shards hold 64 images, so image 110 is in the second one."""
    images = tmp_path / "images"
    images.mkdir()
    for number in range(160):
        (images / f"{number:03d}.png").write_bytes(photo_inputs.photo(number, (8, 8)))
    words, work = [str(images)], FileSource.work

    def stopping(self: FileSource, first: int) -> Iterator[Work]:
        for number, piece in enumerate(work(self, first)):
            if number == 4:
                raise KeyboardInterrupt
            yield piece

    monkeypatch.setattr(FileSource, "work", stopping)
    with pytest.raises(KeyboardInterrupt):
        _build(words, tmp_path / "made")
    monkeypatch.undo()
    assert (tmp_path / "made" / "building" / "00001.json").exists()
    if altered is None:
        for path in images.iterdir():
            os.utime(path)
    else:
        _other_photo(images / f"{altered:03d}.png", 999)
    kept = (tmp_path / "made" / "train" / "00000.tar").stat().st_ino
    capsys.readouterr()
    _build(words, tmp_path / "made")
    _build(words, tmp_path / "fresh")
    made = _contents(tmp_path / "made")
    assert made == _contents(tmp_path / "fresh")
    said = " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "made" / "train" / "00000.tar").stat().st_ino == kept
    if altered is None:
        assert "the finished shards hold what the input holds now: the build resumes" in said
    else:
        assert "of 2 finished shards, 1 are built again" in said


@pytest.mark.parametrize("name", [*INPUTS])
def test_contents_read_alone_are_those_of_the_images_as_they_were_built(
    name: str, tmp_path: Path
) -> None:
    source = _opened(INPUTS[name](tmp_path / "input"))
    built = [item.content for work in source.work(0) for item in work()]
    assert [content.digest for content in source.contents()] == built
    assert len(set(built)) == source.count
    assert any(isinstance(item, Skipped) for w in source.work(0) for item in w()) == (
        name == "folder"
    )


def _opened(words: Words) -> FileSource | ContainerSource:
    given = [w.removeprefix("data.input=") for w in words if w.startswith("data.input=")]
    options = BuildOptions(resolution=8, input=given[0] if given else None)
    inputs = Inputs(open_store=open_store, show_progress=lambda _: no_progress)
    found = find_source(words[0], options, inputs)
    assert isinstance(found, (FileSource, ContainerSource))
    return found


def test_the_record_is_short(tmp_path: Path) -> None:
    _build(_folder(tmp_path / "input"), tmp_path / "made")
    record = json.loads((tmp_path / "made" / "inputs.json").read_bytes())
    assert [end for end, _ in record["pieces"]] == [14, 16]
