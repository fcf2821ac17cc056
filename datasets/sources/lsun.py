"""LSUN: one LMDB per category and split, its values encoded images (webp).

From https://github.com/fyu/lsun: unpack for example `bedroom_train_lmdb.zip` and
`bedroom_val_lmdb.zip` into one folder. Needs the package lmdb: pip install lmdb.

    ganinv data build lsun data.input=~/lsun/bedroom data.url=s3://bucket/bedroom256 \\
        data.resolution=256

Folders named `…_train_lmdb` train, `…_val_lmdb` and `…_test_lmdb` test; without such names the
last eighth is for tests. Images that were exported to files are built by `data build FOLDER`.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from datasets.sources.base import BuildOptions, Inputs, input_folder
from datasets.sources.containers import ContainerSource, Row
from ganinv.errors import ConfigError, DataError

_DATA = "data.mdb"


class Category:
    """One LMDB on disk, its images in the order of their keys; a `Container`."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.size_bytes = (folder / _DATA).stat().st_size
        self._folder = folder

    @cached_property
    def count(self) -> int:
        return len(self._keys)

    def rows(self, wanted: Sequence[int]) -> Iterator[Row]:
        with _opened(self._folder) as database, database.begin(buffers=False) as view:
            for number in wanted:
                key = self._keys[number]
                yield Row(view.get(key, b""), {"lsun_key": key.decode("ascii", "replace")})

    @cached_property
    def _keys(self) -> list[bytes]:
        with _opened(self._folder) as database, database.begin() as view:
            return list(view.cursor().iternext(keys=True, values=False))


def source(options: BuildOptions, inputs: Inputs) -> ContainerSource:
    """Raises `ConfigError` if there is no LMDB, `DataError` for a damaged one."""
    folder = input_folder(options, "LSUN")
    found = sorted(path.parent for path in folder.rglob(_DATA))
    if not found:
        raise ConfigError(
            f"data.input={options.input} holds no LMDB ({_DATA}); unpack the archives of LSUN"
            " there, or build exported images by data build FOLDER"
        )
    watch = inputs.watching("looking into LMDBs")
    categories = []
    for done, path in enumerate(found, start=1):
        categories.append(Category(_name(path), path))
        watch(done, len(found), 0)
    return ContainerSource(
        categories,
        options,
        f"data.input={options.input}",
        facts={"source": "lsun", "licence": "LSUN: non-commercial research"},
    )


def _name(folder: Path) -> str:
    """Such that the split leads: `train/bedroom_train_lmdb`."""
    split = re.search(r"_(train|val|test)_lmdb$", folder.name)
    return f"{split[1]}/{folder.name}" if split else folder.name


def _opened(folder: Path) -> Any:
    try:
        import lmdb
    except ImportError as problem:
        raise ConfigError(
            "source lsun: the package lmdb is not installed; pip install lmdb"
        ) from problem
    try:
        # A data set is not written to, and may lie where it cannot be.
        return lmdb.open(str(folder), readonly=True, lock=False, max_readers=1, readahead=False)
    except lmdb.Error as problem:
        raise DataError(f"{folder}: no readable LMDB ({problem}); unpack it anew") from problem
