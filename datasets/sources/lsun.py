"""LSUN: one LMDB database per category and split; its values are encoded images (webp).

From https://github.com/fyu/lsun: unpack for example `bedroom_train_lmdb.zip` and
`bedroom_val_lmdb.zip` into one folder. Needs the package lmdb: pip install lmdb.

    ganinv data build lsun data.input=~/lsun/bedroom data.url=s3://bucket/bedroom256 \\
        data.resolution=256

Folders named `…_train_lmdb` become the training split, `…_val_lmdb`, `…_test_lmdb` and the like the
test split; without such names the last eighth is the test split. Build images that were exported to
files by `data build FOLDER`.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from datasets.inputs.listing import refuse_folder
from datasets.shards.splits import SPLIT_WORDS
from datasets.sources.base import BuildOptions, Inputs
from datasets.sources.containers import ContainerImage, ContainerSource
from datasets.sources.input_places import input_folder
from ganinv.errors import ConfigError, DataError
from ganinv.places.walking import files_below

_DATA = "data.mdb"


class Category:
    """One LMDB database on disk, its images sorted by key. Implements `Container`."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        found = (folder / _DATA).stat()
        self.size_bytes = found.st_size
        self.version = f"{found.st_mtime_ns}-{found.st_ino}"
        self._folder = folder

    @cached_property
    def count(self) -> int:
        return len(self._keys)

    def images(self, wanted: Sequence[int]) -> Iterator[ContainerImage]:
        with _opened(self._folder) as database, database.begin(buffers=False) as view:
            for number in wanted:
                key = self._keys[number]
                yield ContainerImage(
                    view.get(key, b""), {"lsun_key": key.decode("ascii", "replace")}
                )

    @cached_property
    def _keys(self) -> list[bytes]:
        with _opened(self._folder) as database, database.begin() as view:
            return list(view.cursor().iternext(keys=True, values=False))


def source(options: BuildOptions, inputs: Inputs) -> ContainerSource:
    """Raises `ConfigError` if there is no LMDB database, `DataError` for a corrupt one."""
    folder = input_folder(options, "LSUN")
    data = (Path(f.path) for f in files_below(folder, on_error=refuse_folder) if f.name == _DATA)
    found = sorted(path.parent for path in data)
    if not found:
        raise ConfigError(
            f"data.input={options.input} holds no LMDB database ({_DATA}); unpack the archives of"
            " LSUN there, or build exported images by data build FOLDER"
        )
    advance = inputs.show_progress("reading LMDB keys")
    categories = []
    for done, path in enumerate(found, start=1):
        categories.append(Category(_name(path), path))
        advance(done, len(found), 0)
    return ContainerSource(
        categories,
        options,
        f"data.input={options.input}",
        facts={"source": "lsun", "licence": "LSUN: non-commercial research"},
    )


def _name(folder: Path) -> str:
    """The folder's name below the name of its split, if any: `train/bedroom_train_lmdb`."""
    word = re.search(r"_([a-z]+)_lmdb$", folder.name)
    return f"{word[1]}/{folder.name}" if word and word[1] in SPLIT_WORDS else folder.name


def _opened(folder: Path) -> Any:
    try:
        import lmdb
    except ImportError as problem:
        raise ConfigError(
            "source lsun: the package lmdb is not installed; pip install lmdb"
        ) from problem
    try:
        # Read-only and without a lock file, because the folder may not be writable.
        return lmdb.open(str(folder), readonly=True, lock=False, max_readers=1, readahead=False)
    except lmdb.Error as problem:
        raise DataError(
            f"{folder}: not a readable LMDB database ({problem}); unpack it again"
        ) from problem
