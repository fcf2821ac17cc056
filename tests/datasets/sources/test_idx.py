"""Files in the format of MNIST: pixels, labels, splits, and what is refused by its name."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.storage.opening import open_store
from datasets.parallel import no_progress
from datasets.sources.base import BuildOptions, Inputs, Sample
from datasets.sources.find import find_source
from ganinv.errors import ConfigError, DataError
from tests.support.photo_inputs import IMAGES, TRAINING, idx, idx_bytes

INPUTS = Inputs(open_store=open_store, show_progress=lambda _: no_progress)
PIXELS = np.random.default_rng(0).integers(0, 256, (IMAGES, 20, 24), np.uint8)  # those of `idx`


def _samples(folder: Path, **options: Any) -> list[Sample]:
    given = {"resolution": "24x20", "input": str(folder)} | options
    return list(find_source("idx", BuildOptions(**given), INPUTS).samples())


def test_pixels_and_labels_are_those_of_the_files(tmp_path: Path) -> None:
    samples = _samples(idx(tmp_path))
    for number, sample in enumerate(samples):
        assert np.array_equal(sample.image_HWC, PIXELS[number][..., None].repeat(3, 2))
        assert sample.attributes == {"label": number % 10}
    assert [sample.split for sample in samples].count("train") == TRAINING


def test_padding_keeps_the_pixels(tmp_path: Path) -> None:
    for number, sample in enumerate(_samples(idx(tmp_path), resolution="27x32", resize="pad")):
        assert np.array_equal(sample.image_HWC[6:-6, 1:-2, 1], PIXELS[number])
        assert sample.image_HWC.sum() == 3 * int(PIXELS[number].sum())


def test_padding_shrinks_what_is_too_large(tmp_path: Path) -> None:
    """24 × 20 pixels become 12 × 10, and 3 black rows above and below."""
    for sample in _samples(idx(tmp_path), resolution="12x16", resize="pad"):
        assert not sample.image_HWC[:3].any()
        assert not sample.image_HWC[-3:].any()
        assert sample.image_HWC[3:-3].any(axis=(1, 2)).all()


def test_labels_may_be_missing_and_names_may_have_dots(tmp_path: Path) -> None:
    images = tmp_path / "train-images.idx3-ubyte"
    images.write_bytes(idx_bytes(PIXELS))
    assert [s.attributes for s in _samples(tmp_path)] == [{}] * IMAGES
    (tmp_path / "train-labels.idx1-ubyte").write_bytes(idx_bytes(np.full(IMAGES, 7, np.uint8)))
    assert [s.attributes for s in _samples(tmp_path)] == [{"label": 7}] * IMAGES


T10K, TRAIN = "t10k-images-idx3-ubyte", "train-images-idx3-ubyte.gz"
DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "another type": (T10K, lambda d: d[:2] + b"\x0d" + d[3:], "begins with 00 00 0d 03"),
    "a file of labels": (T10K, lambda d: d[:3] + b"\x01" + d[4:], "begins with 00 00 08 01"),
    "an empty file": (T10K, lambda d: d[:0], "begins with nothing"),
    "no images": (T10K, lambda d: d[:4] + bytes(4) + d[8:], "the sizes 0 × 20 × 24"),
    "truncated": (T10K, lambda d: d[:-1], f"has {6 * 480 + 15} bytes, but .* take {6 * 480 + 16}"),
    "too long": (T10K, lambda d: d + b"x", f"has {6 * 480 + 17} bytes, but .* take {6 * 480 + 16}"),
    "truncated gzip": (TRAIN, lambda d: d[:-9], "is no complete gzip file"),
    "corrupt gzip": (TRAIN, lambda d: d[:-8] + bytes(4) + d[-4:], "is no complete gzip file"),
    "not compressed": (TRAIN, gzip.decompress, "is no complete gzip file"),
    "shorter inside": (
        TRAIN,
        lambda d: gzip.compress(gzip.decompress(d)[:-480]),
        "take 6256; fetch it again",
    ),
    "other labels": (
        "train-labels-idx1-ubyte",
        lambda d: idx_bytes(np.frombuffer(d[8:20], np.uint8)),
        "holds 12 labels, and train-images-idx3-ubyte.gz 13 images",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused_by_their_names(damage: str, tmp_path: Path) -> None:
    name, change, message = DAMAGES[damage]
    path = idx(tmp_path) / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=message) as raised:
        _samples(tmp_path)
    assert name in str(raised.value)


def test_two_files_of_one_name_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no files such as train-images-idx3-ubyte"):
        _samples(tmp_path)
    idx(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"t10k-images-idx3-ubyte and .*-ubyte\.gz are both the"):
        _samples(tmp_path)
