"""Listing images: what is read, and what is counted and why."""

import os
from pathlib import Path

import pytest
from PIL import Image, features

from datasets.inputs import listing
from datasets.inputs.left_out import IMAGES
from datasets.inputs.listing import list_images, refuse_no_images
from datasets.sources.base import BuildOptions
from datasets.sources.folder import folder_source
from ganinv.errors import DataError


def _touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


KINDS = {
    **{"bmp": "BMP", "gif": "GIF", "tiff": "TIFF", "TIF": "TIFF", "jfif": "JPEG", "jpe": "JPEG"},
    **{"JPG": "JPEG", "ppm": "PPM", "jp2": "JPEG2000", "png": "PNG", "webp": "WEBP"},
    **({"avif": "AVIF"} if features.check("avif") else {}),
}


def test_everything_that_pillow_reads_is_read(tmp_path: Path) -> None:
    for ending, kind in KINDS.items():
        Image.new("RGB", (16, 16), "red").save(tmp_path / f"{ending}-1.{ending}", kind)
    source = folder_source(tmp_path, BuildOptions(resolution=8))
    samples = list(source.samples())
    assert {s.key for s in samples} == {f"{ending}-1" for ending in KINDS}
    assert all(s.image_HWC[4, 4].argmax() == 0 for s in samples)
    assert not source.left_out


def test_an_ending_that_lies_does_not_matter(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), "red").save(tmp_path / "a.png", "JPEG")
    assert len(list(folder_source(tmp_path, BuildOptions(resolution=8)).samples())) == 1


def test_all_else_is_counted_by_reason(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png", "b.JPEG", "x/c.heic", "d.HEIC", "e.cr2", "notes.txt", "README")
    _touch(tmp_path, ".f.png", ".cache/g.png", "h.00017", "i.txt", "@eaDir/j.jpg", "Thumbs.db")
    _touch(tmp_path, "._a.png", ".DS_Store", "__MACOSX/._b.jpg")
    os.mkfifo(tmp_path / "k.png")  # reading it would wait for ever
    (tmp_path / "l.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "m.png").symlink_to(tmp_path / "m.png")
    (tmp_path / "x" / "up").symlink_to(tmp_path)
    found = list_images(tmp_path)
    assert found.names == ["a.png", "b.JPEG"]
    assert found.left_out.counts() == {
        "hidden folders": 1,
        "hidden files": 1,
        "files without an ending": 1,
        "files in the format .heic, which cannot be read": 2,
        "files in the format .cr2, which cannot be read": 1,
        "other files": 1,
        "files ending in .txt": 2,
        "pipes, sockets and devices": 1,
        "links to nothing": 2,
        "links to a folder that holds them": 1,
    }
    assert found.left_out.count(IMAGES) == 6
    assert found.left_out.totals == {IMAGES: 8}


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    _touch(tmp_path / "far", "a.png", "x/b.png")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "train").symlink_to(tmp_path / "far")
    (tmp_path / "here" / "c.png").symlink_to(tmp_path / "far" / "a.png")
    assert list_images(tmp_path / "here").names == ["c.png", "train/a.png", "train/x/b.png"]


def test_a_folder_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """root, who runs the tests, may read every folder."""
    scan = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    _touch(tmp_path, "a.png", "locked/b.png")
    monkeypatch.setattr("ganinv.places.walking.os.scandir", refuse)
    with pytest.raises(DataError, match=r"locked cannot be read \(Permission denied\); allow"):
        list_images(tmp_path)


def test_the_error_for_no_image_says_what_there_is(tmp_path: Path) -> None:
    assert str(refuse_no_images("here", list_images(tmp_path).left_out)).startswith(
        "here holds no images (.jpg, .png, "
    )
    _touch(tmp_path, "a.heic", "b.zip")
    message = str(refuse_no_images("here", list_images(tmp_path).left_out))
    assert (
        "but files in the format .heic, which cannot be read: 1 (a.heic); files ending in .zip: 1"
        " (b.zip); convert or unpack these, or name another input"
    ) in message


def test_avif_depends_on_pillow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _touch(tmp_path, "a.avif")
    monkeypatch.setattr(listing, "EXTENSIONS", (".png",))
    monkeypatch.setattr(listing, "_UNREADABLE", frozenset((".avif",)))
    assert list_images(tmp_path).left_out.count(IMAGES) == 1
