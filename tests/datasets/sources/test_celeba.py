"""CelebA: its lists as published and as on Kaggle, and lists that do not fit the images."""

from pathlib import Path
from typing import Any

import pytest

from cluster.storage.opening import open_store
from datasets.parallel import no_progress
from datasets.sources.base import BuildOptions, Inputs, Sample, Source
from datasets.sources.find import find_source
from ganinv.errors import ConfigError, DataError
from tests.support import photo_inputs
from tests.support.photo_inputs import TRAINING, photo

PARTITIONS, ATTRIBUTES = "list_eval_partition.txt", "list_attr_celeba.txt"


def _source(folder: Path, **changes: Any) -> Source:
    options = BuildOptions(**{"resolution": 16, "input": str(folder), **changes})
    inputs = Inputs(open_store=open_store, show_progress=lambda _: no_progress)
    return find_source("celeba", options, inputs)


def _samples(folder: Path, **changes: Any) -> list[Sample]:
    return list(_source(folder, **changes).samples())


def test_attributes_and_splits(tmp_path: Path) -> None:
    source = _source(photo_inputs.celeba(tmp_path))
    samples = list(source.samples())
    assert [int(s.key) for s in samples] == [*range(1, TRAINING + 1), *range(17, 23)]
    assert samples[0].attributes == {"Smiling": 1, "Young": -1}
    assert samples[1].attributes["Smiling"] == -1
    assert source.left_out.line() == "validation images, which are not used: 3"


def _to_csv(text: str, header: str | None) -> str:
    rows = [",".join(line.split()) for line in text.splitlines()]
    return "\r\n".join([header, *rows] if header else rows) + "\r\n"


def test_the_lists_of_kaggle_give_the_same(tmp_path: Path) -> None:
    """They are CSV, and the folder of the images is repeated; values may be 0 instead of -1."""
    text = _samples(photo_inputs.celeba(tmp_path / "text"))
    folder = photo_inputs.celeba(tmp_path / "kaggle")
    (folder / "img_align_celeba").rename(folder / "inner")
    (folder / "img_align_celeba").mkdir()
    (folder / "inner").rename(folder / "img_align_celeba" / "img_align_celeba")
    partitions = (folder / PARTITIONS).read_text()
    _, names, rows = (folder / ATTRIBUTES).read_text().split("\n", 2)
    for name in (PARTITIONS, ATTRIBUTES):
        (folder / name).unlink()
    (folder / "list_eval_partition.csv").write_text(_to_csv(partitions, "image_id,partition"))
    (folder / "list_attr_celeba.csv").write_text(
        _to_csv(rows.replace("-1", "0"), "image_id," + ",".join(names.split()))
    )
    found = _samples(folder)
    assert [(s.key, s.split, s.attributes) for s in found] == [
        (s.key, s.split, s.attributes) for s in text
    ]
    assert found[0].attributes == {"Smiling": 1, "Young": -1}


def test_png_files_match_the_lists_of_jpg_names(tmp_path: Path) -> None:
    """All images of the PNG archive were left out before, because the list names JPEG files."""
    folder = photo_inputs.celeba(tmp_path)
    images = (folder / "img_align_celeba").rename(folder / "img_align_celeba_png")
    for path in images.iterdir():
        path.write_bytes(photo(int(path.stem)))
        path.rename(path.with_suffix(".png"))
    samples = _samples(folder)
    assert len(samples) == photo_inputs.IMAGES
    assert samples[0].attributes == {"Smiling": 1, "Young": -1}


def test_without_its_lists_it_is_split_by_number(tmp_path: Path) -> None:
    for number in (1, 162_770, 162_771, 182_637, 182_638, 202_599):
        (tmp_path / f"{number:06d}.jpg").write_bytes(photo(number, kind="JPEG"))
    source = _source(tmp_path)
    found = [(int(s.key), s.split) for s in source.samples()]
    assert found == [(1, "train"), (162_770, "train"), (182_638, "test"), (202_599, "test")]
    assert source.left_out.counts() == {
        "validation images, which are not used": 2,
        "lists of attributes that were not found": 1,
    }
    (tmp_path / "me.jpg").write_bytes(photo(1))
    with pytest.raises(ConfigError, match=r"'me\.jpg' is not a CelebA image"):
        _source(tmp_path)


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = photo_inputs.celeba(tmp_path)
    (folder / "img_align_celeba" / "000001.png").write_bytes(photo(1))
    with pytest.raises(ConfigError, match=r"'000001\.png' has the name of '000001\.jpg'"):
        _source(folder)


def test_images_and_rows_without_a_partner_are_limited(tmp_path: Path) -> None:
    folder = photo_inputs.celeba(tmp_path)
    (folder / "img_align_celeba" / "000300.jpg").write_bytes(photo(1))
    with pytest.raises(DataError, match=r"that list_eval_partition does not name: 1 \(000300\.jpg"):
        _source(folder)
    (folder / "img_align_celeba" / "000300.jpg").unlink()
    (folder / "img_align_celeba" / "000001.jpg").unlink()
    with pytest.raises(DataError, match=r"list_attr_celeba that match no image: 1 \(000001"):
        _source(folder)
    assert len(_samples(folder, max_unreadable=0.1)) == photo_inputs.IMAGES - 1


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (ATTRIBUTES, b"1\nSmiling Young\n000001.jpg 1\n", "line 3 does not hold 2 values"),
        (PARTITIONS, b"000001.jpg 7\n", "line 1 does not hold an image and 0, 1 or 2"),
        (PARTITIONS, b"\xe9.jpg 0\n", "is not a list of CelebA"),
    ],
)
def test_corrupt_lists_are_refused(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    photo_inputs.celeba(tmp_path)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=f"{name}.*{message}"):
        _source(tmp_path)
