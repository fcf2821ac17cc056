"""Sources that read an input: what each does differently from the others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from cluster.storage.opening import open_store
from datasets.parallel import no_progress
from datasets.sources.base import BuildOptions, Inputs, Sample, Source
from datasets.sources.find import find_source
from ganinv.errors import ConfigError, DataError
from tests.support import photo_inputs
from tests.support.photo_inputs import IMAGES, TRAINING, photo


def _source(name: str, folder: Path, **changes: Any) -> Source:
    options = BuildOptions(**{"resolution": 16, "input": str(folder), **changes})
    inputs = Inputs(open_store=open_store, show_progress=lambda _: no_progress)
    return find_source(name, options, inputs)


def _samples(name: str, folder: Path, **changes: Any) -> list[Sample]:
    return list(_source(name, folder, **changes).samples())


def test_celeba_attributes_and_splits(tmp_path: Path) -> None:
    samples = _samples("celeba", photo_inputs.celeba(tmp_path))
    assert [int(s.key) for s in samples] == [*range(1, TRAINING + 1), *range(17, 23)]
    assert samples[0].attributes == {"Smiling": 1, "Young": -1}
    assert samples[1].attributes["Smiling"] == -1


def test_celeba_without_its_lists_is_split_by_number(tmp_path: Path) -> None:
    for number in (1, 162_770, 162_771, 182_637, 182_638, 202_599):
        (tmp_path / f"{number:06d}.jpg").write_bytes(photo(number, kind="JPEG"))
    found = [(int(s.key), s.split) for s in _samples("celeba", tmp_path)]
    assert found == [(1, "train"), (162_770, "train"), (182_638, "test"), (202_599, "test")]
    (tmp_path / "me.jpg").write_bytes(photo(1))
    with pytest.raises(ConfigError, match=r"'me\.jpg' is not a CelebA image"):
        _source("celeba", tmp_path)


def test_a_corrupt_celeba_list_is_refused(tmp_path: Path) -> None:
    photo_inputs.celeba(tmp_path)
    (tmp_path / "list_attr_celeba.txt").write_text("1\nSmiling Young\n000001.jpg 1\n")
    with pytest.raises(DataError, match="line 3 does not hold 2 values"):
        _source("celeba", tmp_path)


def test_ffhq_takes_only_numbered_files(tmp_path: Path) -> None:
    keys = [s.key for s in _samples("ffhq", photo_inputs.ffhq(tmp_path))]
    assert keys[TRAINING - 1 : TRAINING + 1] == ["59999", "60000"]
    (tmp_path / "00001.jpg").write_bytes(photo(1))
    (tmp_path / "00001.png").write_bytes(photo(1))
    with pytest.raises(ConfigError, match=r"'00001\.png' has the number of '00001\.jpg'"):
        _source("ffhq", tmp_path)


def test_attributes_of_tars_and_tables(tmp_path: Path) -> None:
    tars = _samples("webdataset", photo_inputs.webdataset(tmp_path / "tars"))
    assert [s.attributes for s in tars[:3]] == [{}, {"number": 1}, {}]
    assert tars[0].key == "00000-00000000"
    rows = _samples("parquet", photo_inputs.parquet(tmp_path / "tables"))
    assert [s.attributes for s in rows] == [{"label": i, "score": None} for i in range(IMAGES)]


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_arrow_files_of_plain_bytes(kind: str, tmp_path: Path) -> None:
    table = pa.table({"jpg": [photo(i) for i in range(16)], "cls": ["a"] * 16})
    make: Callable[..., Any] = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with make(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=5)
    samples = _samples("parquet", tmp_path)
    assert [s.split for s in samples] == ["train"] * 14 + ["test"] * 2
    assert samples[3].attributes == {"cls": "a"}


def test_columns_that_cannot_be_chosen_are_listed(tmp_path: Path) -> None:
    table = pa.table({"a": [b""], "b": [b""], "c": [1]})
    pa.parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(ConfigError, match=r"has the columns a, b, c, of which a, b can"):
        _source("parquet", tmp_path)
    with pytest.raises(ConfigError, match=r"data\.image_column=c"):
        _source("parquet", tmp_path, image_column="c")
    assert _source("parquet", tmp_path, image_column="b").count == 1
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match=r"x\.parquet cannot be read"):
        _source("parquet", tmp_path)


def test_corrupt_tars_and_databases_are_refused(tmp_path: Path) -> None:
    folder = photo_inputs.webdataset(tmp_path / "tars")
    tar = folder / "faces" / "train-0000.tar"
    tar.write_bytes(tar.read_bytes()[:4000])
    with pytest.raises(DataError, match=r"train-0000\.tar is truncated or corrupt"):
        _source("webdataset", folder)
    (tmp_path / "lmdb").mkdir()
    (tmp_path / "lmdb" / "data.mdb").write_bytes(b"nothing" * 5000)
    with pytest.raises(DataError, match="not a readable LMDB database"):
        _source("lsun", tmp_path / "lmdb")
