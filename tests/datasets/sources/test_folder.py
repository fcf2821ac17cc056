"""Image folders: crop, orientation, split, keys, attributes, and unreadable files."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.building.build import build
from datasets.building.report import BuildReport
from datasets.sources.base import BuildOptions, Sample, Source
from datasets.sources.folder import folder_source
from datasets.streaming.samples import read_samples
from ganinv.errors import ConfigError, DataError
from ganinv.seams.stores import Store

MakeStore = Callable[[str], Store]


def _save(path: Path, color: str = "red", size: tuple[int, int] = (20, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def _samples(folder: Path, **options: Any) -> list[Sample]:
    return list(_source(folder, **options).samples())


def _source(folder: Path, **options: Any) -> Source:
    return folder_source(folder, BuildOptions(**{"resolution": 8, **options}))


def test_the_centre_is_kept(tmp_path: Path) -> None:
    image = Image.new("RGB", (48, 16), "blue")
    image.paste("red", (16, 0, 32, 16))
    image.save(tmp_path / "a.png")
    (sample,) = _samples(tmp_path)
    assert np.array_equal(sample.image_HWC, np.broadcast_to([255, 0, 0], (8, 8, 3)))


def _colours(folder: Path, **options: Any) -> list[list[int]]:
    """The pixels of the middle row of the only sample."""
    (sample,) = _samples(folder, **options)
    return [pixel.argmax() for pixel in sample.image_HWC[sample.image_HWC.shape[0] // 2]]


def test_crop_stretch_and_exact_sizes(tmp_path: Path) -> None:
    image = Image.new("RGB", (48, 16), "blue")
    image.paste("red", (16, 0, 32, 16))
    image.save(tmp_path / "a.png")
    assert set(_colours(tmp_path)) == {0}
    assert _colours(tmp_path, resolution=12, resize="stretch") == [2] * 4 + [0] * 4 + [2] * 4
    assert _colours(tmp_path, resolution="24x8") == [2] * 8 + [0] * 8 + [2] * 8
    assert _colours(tmp_path, resolution="16x8") == [2] * 4 + [0] * 8 + [2] * 4
    (sample,) = _samples(tmp_path, resolution="16x8")
    assert sample.image_HWC.shape == (8, 16, 3)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("x/a.parquet", "parquet"),
        ("a.tar", "webdataset"),
        ("b/data.mdb", "lsun"),
        ("c.zip", "stylegan"),
    ],
)
def test_a_folder_of_containers_names_their_source(name: str, source: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    (tmp_path / "._y.tar").write_bytes(b"")
    with pytest.raises(ConfigError, match=f"type data build {source} data.input="):
        _source(tmp_path)


def test_exif_orientation_is_respected(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 16), "blue")
    image.paste("red", (0, 0, 16, 8))  # red above, blue below
    exif = Image.Exif()
    exif[0x0112] = 3  # shown rotated by 180°
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    (sample,) = _samples(tmp_path)
    assert sample.image_HWC[0, 0].argmax() == 2
    assert sample.image_HWC[7, 7].argmax() == 0


def test_transparency_grey_palette_and_webp(tmp_path: Path) -> None:
    Image.new("RGBA", (9, 9), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("L", (9, 9), 77).save(tmp_path / "grey.webp", lossless=True)
    Image.new("RGB", (9, 9), "lime").quantize().save(tmp_path / "palette.png")
    pixels = {s.key: s.image_HWC[4, 4].tolist() for s in _samples(tmp_path)}
    assert pixels["clear"] == [255, 255, 255]
    assert pixels["palette"] == [0, 255, 0]
    assert len(set(pixels["grey"])) == 1


def test_the_last_eighth_by_name_is_for_tests(tmp_path: Path) -> None:
    for i in range(16):
        _save(tmp_path / f"{i:02d}.png")
    assert [s.split for s in _samples(tmp_path)] == ["train"] * 14 + ["test"] * 2


def test_folder_names_decide_the_split(tmp_path: Path) -> None:
    for name in ("Train/x/a.png", "val/b.png", "test/c.jpg", "train/d.png"):
        _save(tmp_path / name)
    splits = {s.key: s.split for s in _samples(tmp_path)}
    assert splits == {"Train_x_a": "train", "val_b": "test", "test_c": "test", "train_d": "train"}


def test_other_names_of_splits_are_known(tmp_path: Path) -> None:
    """A folder dev was trained on before, because its name was unknown."""
    for name in ("train/a.png", "dev/b.png", "eval/c.png", "Testing/d.png"):
        _save(tmp_path / name)
    splits = {s.key: s.split for s in _samples(tmp_path)}
    assert [key for key, split in splits.items() if split == "train"] == ["train_a"]


def test_unknown_names_beside_known_ones_are_refused_unless_names_do_not_count(
    tmp_path: Path,
) -> None:
    for name in ("train/a.png", "test/b.png", "extra/c.png"):
        _save(tmp_path / name)
    with pytest.raises(ConfigError, match=r"the names test, train decide .* about extra;"):
        _source(tmp_path)
    source = _source(tmp_path, split_by_name=False)
    assert [s.split for s in source.samples()] == ["train"] * 3
    assert source.description()["split_by_name"] is False


def test_a_split_named_by_all_file_names(tmp_path: Path) -> None:
    for name in ("train_1.png", "train_2.png", "test_1.png"):
        _save(tmp_path / name)
    assert {s.key: s.split for s in _samples(tmp_path)}["test_1"] == "test"
    assert [s.split for s in _samples(tmp_path)].count("train") == 2


def test_only_test_images_are_refused(tmp_path: Path) -> None:
    _save(tmp_path / "val" / "a.png")
    with pytest.raises(ConfigError, match="all images are in the test split"):
        _source(tmp_path)


def test_keys_are_safe_unique_and_sorted(tmp_path: Path) -> None:
    for name in ("a.b.png", "a_b.png", "a b.jpg", "ä/ü.png", "ö/ü.png", f"{'n' * 100}.png"):
        _save(tmp_path / name)
    _save(tmp_path / ".hidden" / "x.png")
    _save(tmp_path / ".y.png")
    keys = [s.key for s in _samples(tmp_path)]
    assert len(keys) == len(set(keys)) == 6
    assert keys == sorted(keys)
    assert all(len(key) <= 80 and key.isascii() and "." not in key for key in keys)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_attributes(tmp_path: Path, kind: str) -> None:
    _save(tmp_path / "images" / "deep" / "a.png")
    _save(tmp_path / "images" / "b.png")
    table = tmp_path / f"table.{kind}"
    rows = [
        {"file": "a.png", "Smiling": -1, "age": 31.5},
        {"file": "b.png", "Smiling": 1, "age": 4},
    ]
    if kind == "csv":
        lines = ["file,Smiling,age", *(f"{r['file']},{r['Smiling']},{r['age']}" for r in rows)]
    else:
        lines = [json.dumps(row) for row in rows]
    table.write_text("\n".join(lines) + "\n")
    found = {s.key: s.attributes for s in _samples(tmp_path / "images", attributes=table)}
    assert found == {"deep_a": {"Smiling": -1, "age": 31.5}, "b": {"Smiling": 1, "age": 4}}


def test_rows_and_images_without_a_partner_are_counted(tmp_path: Path) -> None:
    """Rows that name an image in another way find it; a subset does not lose its attributes."""
    for name in ("a.png", "deep/B.PNG", "c.png"):
        _save(tmp_path / "images" / name)
    table = tmp_path / "t.csv"
    table.write_text("file,x\na.jpg,1\nb.jpg,2\nz.jpg,3\n")
    source = _source(tmp_path / "images", attributes=table, max_unreadable=0.5)
    assert [s.attributes for s in source.samples()] == [{"x": 1}, {}, {"x": 2}]
    assert source.left_out.counts() == {
        "rows of data.attributes that match no image": 1,
        "images without a row in data.attributes, kept without attributes": 1,
    }
    with pytest.raises(DataError, match=r"1 of 3 rows of attributes would be left out .*z\.jpg"):
        _source(tmp_path / "images", attributes=table)
    subset = _source(tmp_path / "images", attributes=table, max_unreadable=0.5, images=1)
    assert subset.left_out.counts() == source.left_out.counts()


def test_images_above_the_limit_of_pixels(tmp_path: Path, make_store: MakeStore) -> None:
    _save(tmp_path / "images" / "a.png", size=(20, 20))
    _save(tmp_path / "images" / "b.png", size=(21, 20))
    store = make_store("store")
    options = BuildOptions(resolution=8, max_unreadable=0.5, max_pixels=400)
    source = folder_source(tmp_path / "images", options)
    build(source, store, options)
    report = BuildReport.load(store)
    assert report.left_out.counts() == {"images above data.max_pixels": 1}
    assert report.skipped[0].reason.startswith("it has more pixels than data.max_pixels=400; raise")
    assert Image.MAX_IMAGE_PIXELS != 400
    raised = _source(tmp_path / "images", max_pixels=420)
    assert len(list(raised.samples())) == 2
    assert raised.description() != source.description()


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("t.csv", "name,x\na.png,1\n", DataError),
        ("t.csv", "file,x\na.png,1\na.png,2\n", DataError),
        ("t.csv", "file,x\na.png\n", DataError),
        ("t.csv", "file,x\nother.png,1\n", DataError),
        ("t.jsonl", "{not json\n", DataError),
        ("t.jsonl", "[1]\n", DataError),
        ("t.txt", "file,x\n", ConfigError),
    ],
)
def test_wrong_attribute_tables(tmp_path: Path, name: str, text: str, error: type) -> None:
    _save(tmp_path / "images" / "a.png")
    (tmp_path / name).write_text(text)
    with pytest.raises(error, match=r"data\.attributes="):
        _samples(tmp_path / "images", attributes=tmp_path / name)


def _bomb(path: Path) -> None:
    """A PNG of a few bytes that claims 60,000 × 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 999))
        + chunk(b"IEND", b"")
    )


def test_unreadable_files_are_listed_and_skipped(tmp_path: Path, make_store: MakeStore) -> None:
    images = tmp_path / "images"
    for i in range(8):
        _save(images / f"{i}.png", size=(64, 64))
    _bomb(images / "bomb.png")
    (images / "cut.png").write_bytes((images / "0.png").read_bytes()[:-30])
    (images / "empty.jpg").write_bytes(b"")
    (images / "gone.jpg").symlink_to(tmp_path / "nowhere")
    Image.new("I;16", (9, 9)).save(images / "deep.png")
    options = BuildOptions(resolution=8, max_unreadable=0.5)
    source = folder_source(images, options)
    store = make_store("store")
    progress: list[tuple[int, int, int]] = []
    index = build(source, store, options, lambda *figures: progress.append(figures))
    skipped = BuildReport.load(store).skipped
    assert [s.path for s in skipped] == [
        "bomb.png",
        "cut.png",
        "deep.png",
        "empty.jpg",
    ]
    assert all(s.reason for s in skipped)
    assert BuildReport.load(store).left_out.line() == (
        "links to nothing: 1; images above data.max_pixels: 1; unreadable images: 3"
    )
    assert progress[-1][:2] == (12, 12)
    _, keys, _ = read_samples(store, index, "train", 0, index.samples("train"))
    assert keys == tuple("01234567")


@pytest.mark.parametrize(
    ("ratio", "reason"),
    [(0.25, r"3 of 8 .*0\.png: .*data\.max_unreadable=0\.25"), (1.0, "8 of 8")],
)
def test_too_many_unreadable_files_stop_the_build(
    ratio: float, reason: str, tmp_path: Path, make_store: MakeStore
) -> None:
    (tmp_path / "images").mkdir()
    for i in range(8):
        (tmp_path / "images" / f"{i}.png").write_bytes(b"nothing")
    options = BuildOptions(resolution=8, max_unreadable=ratio)
    with pytest.raises(DataError, match=reason):
        build(folder_source(tmp_path / "images", options), make_store("store"), options)


def test_fewer_images_than_asked_for(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"holds no images \(.*\) and no other files; name another"
    ):
        _source(tmp_path)
    for i in range(6):
        _save(tmp_path / f"{i}.png")
    with pytest.raises(ConfigError, match=r"holds 6 images.*7 were requested"):
        _source(tmp_path, images=7)
    assert [s.key for s in _samples(tmp_path, images=3)] == ["0", "2", "4"]
