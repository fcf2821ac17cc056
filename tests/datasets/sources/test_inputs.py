"""Sources that read an input: what each does differently from the others."""

import re
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


def test_ffhq_takes_only_numbered_files(tmp_path: Path) -> None:
    keys = [s.key for s in _samples("ffhq", photo_inputs.ffhq(tmp_path))]
    assert keys[TRAINING - 1 : TRAINING + 1] == ["59999", "60000"]
    (tmp_path / "00001.jpg").write_bytes(photo(1))
    (tmp_path / "00001.png").write_bytes(photo(1))
    with pytest.raises(ConfigError, match=r"'00001\.png' has the number of '00001\.jpg'"):
        _source("ffhq", tmp_path)
    (tmp_path / "00001.jpg").rename(tmp_path / "1.png")  # was an AssertionError
    with pytest.raises(ConfigError, match=r"'1\.png' has the number of '00001\.png'"):
        _source("ffhq", tmp_path)
    (tmp_path / "me.png").write_bytes(photo(1))
    (tmp_path / "1.png").unlink()
    with pytest.raises(ConfigError, match=r"'me\.png' is not named by a number such as"):
        _source("ffhq", tmp_path)


def test_attributes_of_tars_and_tables(tmp_path: Path) -> None:
    tars = _samples("webdataset", photo_inputs.webdataset(tmp_path / "tars"))
    assert [s.attributes for s in tars[:3]] == [{}, {"number": 1}, {}]
    assert tars[0].key == "00000-00000000"
    tables = _source("parquet", photo_inputs.parquet(tmp_path / "tables"))
    assert tables.left_out.line() == "columns that are neither images nor attributes: 1"
    rows = list(tables.samples())
    assert [s.attributes for s in rows] == [{"label": i, "score": None} for i in range(IMAGES)]


def test_texts_that_are_not_utf_8_are_named(tmp_path: Path) -> None:
    ends, text = pa.py_buffer(b"\0\0\0\0\4\0\0\0"), pa.py_buffer("café".encode("latin-1"))
    names = pa.Array.from_buffers(pa.string(), 1, [None, ends, text])
    table = pa.table({"image": [photo(1)], "name": names})
    pa.parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet: the column 'name' holds b'caf\\xe9', which"):
        _samples("parquet", tmp_path)


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


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            [{"bytes": None, "path": "a/b.png"}],
            r"only the path 'a/b\.png'; build the folder of these",
        ),
        (
            ["a/b.png"],
            "none can hold images .*if a column holds paths of images, build their folder",
        ),
    ],
)
def test_tables_of_paths_are_refused(column: list[Any], message: str, tmp_path: Path) -> None:
    kind = pa.string()
    if isinstance(column[0], dict):
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pa.parquet.write_table(pa.table({"image": pa.array(column, kind)}), tmp_path / "x.parquet")
    with pytest.raises(ConfigError, match=message):
        _source("parquet", tmp_path)


def test_rows_without_an_image_say_so(tmp_path: Path) -> None:
    rows = [{"bytes": photo(0), "path": "a.png"}, None, {"bytes": None, "path": "b.png"}]
    pa.parquet.write_table(pa.table({"image": rows}), tmp_path / "x.parquet")
    (tmp_path / "README.md").write_bytes(b"")
    source = _source("parquet", tmp_path)
    (work,) = source.work(0)
    _, null, path = work()
    assert (null.reason, path.reason) == (
        "the row holds no image",
        "the row holds only the path 'b.png'",
    )
    assert source.left_out.counts() == {"files ending in .md": 1}


@pytest.mark.parametrize("name", ["lsun", "webdataset", "parquet"])
def test_an_unknown_name_beside_known_ones(name: str, tmp_path: Path) -> None:
    folder = photo_inputs.MAKERS[name](tmp_path)
    renamed = next(
        path
        for path in sorted(folder.rglob("*"))
        if re.search("val|test", path.name) and not path.name.endswith(".mdb")
    )
    renamed.rename(renamed.with_name(re.sub("val|test", "extra", renamed.name)))
    with pytest.raises(ConfigError, match=r"the names .*train.* decide .* about .*extra"):
        _source(name, folder)
    renamed = next(folder.rglob("*extra*"))
    renamed.rename(renamed.with_name(renamed.name.replace("extra", "dev")))
    assert [s.split for s in _samples(name, folder)].count("train") == TRAINING


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
