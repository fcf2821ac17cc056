"""Zip archives in StyleGAN's layout: labels, splits, and what is wrong with an archive."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cluster.storage.opening import open_store
from datasets.parallel import no_progress
from datasets.sources.base import BuildOptions, Inputs, Sample, Skipped, Source
from datasets.sources.find import find_source
from ganinv.errors import ConfigError, DataError
from tests.support.photo_inputs import photo


def _source(place: Path, **changes: Any) -> Source:
    options = BuildOptions(**{"resolution": 16, "input": str(place), **changes})
    inputs = Inputs(open_store=open_store, show_progress=lambda _: no_progress)
    return find_source("stylegan", options, inputs)


def _write(path: Path, members: dict[str, bytes], labels: Any = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return path


def _faces(count: int = 8) -> dict[str, bytes]:
    return {f"00000/img{i:08d}.png": photo(i) for i in range(count)}


def _samples(source: Source) -> list[Sample]:
    return list(source.samples())


def test_one_archive_and_its_labels(tmp_path: Path) -> None:
    """Labels are numbers, or lists of numbers; the last eighth is the test split."""
    labels = [[name, [0.5, i] if i else 7] for i, name in enumerate(_faces())]
    samples = _samples(_source(_write(tmp_path / "a.zip", _faces(), labels)))
    assert [s.split for s in samples] == ["train"] * 7 + ["test"]
    assert samples[0].attributes == {"file": "00000/img00000000.png", "label": 7}
    assert samples[2].attributes["label"] == [0.5, 2]
    unlabelled = _samples(_source(_write(tmp_path / "a.zip", _faces())))
    assert "label" not in unlabelled[0].attributes
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a.png", photo(1))
    assert len(_samples(_source(tmp_path / "b.zip"))) == 1


def test_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    members = _faces() | {"README": b"", "__MACOSX/._img.png": b"x", "00000/.x.png": b""}
    labels = [["00000/img00000000.png", 1], ["gone.png", 1]]
    source = _source(_write(tmp_path / "a.zip", members, labels), max_unreadable=0.5)
    assert source.left_out.counts() == {
        "files without an ending": 1,
        "files ending in .png": 1,
        "labels of dataset.json that match no image": 1,
        "images without a label in dataset.json": 7,
    }
    with pytest.raises(DataError, match=r"1 of 2 rows .*gone\.png"):
        _source(tmp_path)


def test_a_member_that_cannot_be_read_is_skipped(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.zip", _faces())
    data = bytearray(path.read_bytes())
    data[200] ^= 1  # in the first image
    path.write_bytes(data)
    items = [item for work in _source(path).work(0) for item in work()]
    assert [isinstance(item, Skipped) for item in items] == [True] + [False] * 7
    assert "Bad CRC-32" in items[0].reason  # type: ignore[union-attr]


def test_other_archives_and_places(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no zip archive"):
        _source(tmp_path / "missing.zip")
    (tmp_path / "x.tar").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"holds no zip archive but files ending in \.tar: 1"):
        _source(tmp_path)
    (tmp_path / "cut.zip").write_bytes(_write(tmp_path / "a.zip", _faces()).read_bytes()[:-30])
    with pytest.raises(DataError, match=r"cut\.zip is no complete zip archive"):
        _source(tmp_path / "cut.zip")
    for labels in ([1], [[1, 2]], 5, [["a", 1, 2]]):
        with pytest.raises(DataError, match=r"dataset\.json is not StyleGAN's"):
            _source(_write(tmp_path / "a.zip", _faces(), labels=labels))
    with pytest.raises(ConfigError, match=r"a\.zip: the names train decide .* about extra;"):
        _source(_write(tmp_path / "a.zip", {"train/a.png": photo(1), "extra/b.png": photo(2)}))
