"""What people give as `data.input` or as SOURCE instead of a folder, and what they are told."""

from pathlib import Path

import pytest

from cluster.storage.opening import open_store
from datasets.parallel import no_progress
from datasets.sources.base import BuildOptions, Inputs
from datasets.sources.find import find_source
from datasets.sources.input_places import check_folder
from ganinv.errors import ConfigError, DataError
from tests.support import photo_inputs

INPUTS = Inputs(open_store=open_store, show_progress=lambda _: no_progress)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://b/x/{000..010}.tar", "is a pattern of names, .*; give data.input=s3://b/x, or put"),
        ("tars/a-{00..10}.tar", "is a pattern of names, .*; give data.input=tars, or"),
        ("tars/*.tar", "is a pattern of names"),
        ("a{1,2}.tar", r"give data\.input=\., or"),
        ("s3://b/x/a.tar", "is a tar, but all files of one folder are read; give .*=s3://b/x,"),
        ("s3://b/a.parquet", "is a table"),
        ("s3://b/a.tar.gz", "is a compressed archive"),
    ],
)
def test_a_file_or_a_pattern_instead_of_a_folder(url: str, message: str) -> None:
    for name in ("webdataset", "parquet"):
        with pytest.raises(ConfigError, match=message):
            find_source(name, BuildOptions(input=url), INPUTS)


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    for name in ("a.tar", "x{1,2}"):
        (tmp_path / name).mkdir()
        check_folder("data.url", str(tmp_path / name))
    check_folder("data.url", "s3://bucket/tars")
    (tmp_path / "b.tar").write_bytes(b"")
    with pytest.raises(ConfigError, match=f"data.url=file://{tmp_path}/b.tar is a tar"):
        check_folder("data.url", f"file://{tmp_path}/b.tar")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.zip", "is a zip archive: unpack it .* type data build stylegan data.input=.*a.zip"),
        ("a.tar.gz", "is a compressed archive: unpack it and name the folder"),
        ("a.tar", "is a tar: type data build webdataset data.input="),
        ("a.parquet", "is a table: type data build parquet data.input="),
        ("a.JPG", "is a single image: name its folder"),
        ("a.txt", "is a file: name a folder"),
    ],
)
def test_a_file_as_a_source(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ConfigError, match=message):
        find_source(str(tmp_path / name), BuildOptions(), INPUTS)
    for source in ("celeba", "ffhq", "lsun"):
        with pytest.raises(ConfigError, match=message):
            find_source(source, BuildOptions(input=str(tmp_path / name)), INPUTS)


@pytest.mark.parametrize("name", ["webdataset", "parquet", "stylegan", "idx"])
def test_files_of_macos_beside_containers_are_ignored(name: str, tmp_path: Path) -> None:
    """Such a file was opened as a tar or a table before, and found corrupt."""
    folder = photo_inputs.MAKERS[name](tmp_path)
    options = BuildOptions(input=str(folder), resolution=16)
    before = find_source(name, options, INPUTS)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"Mac OS X")
    source = find_source(name, options, INPUTS)
    assert source.count == before.count
    assert source.left_out.counts() == before.left_out.counts()


def test_other_files_are_named_where_tars_or_tables_are_expected(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    options = BuildOptions(input=str(tmp_path))
    with pytest.raises(DataError, match=r"no tars: it holds images .*\(a\.png\); .*`data build "):
        find_source("webdataset", options, INPUTS)
    with pytest.raises(ConfigError, match=r"no \.parquet, .* files ending in \.png: 1 \(a\.png\)"):
        find_source("parquet", options, INPUTS)
