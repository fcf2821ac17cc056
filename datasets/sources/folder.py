"""A folder of photographs as a source: keys and splits from the paths, attributes from a table."""

import collections
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from datasets.shards.splits import Split, named_split, split_of
from datasets.sources.attributes import match_attributes, read_attributes
from datasets.sources.base import BuildOptions, spread
from datasets.sources.files import FileSource, ImageFile
from datasets.sources.photographs import list_photographs
from ganinv.errors import ConfigError

_MAX_KEY_CHARACTERS = 80
# Files of other kinds, and the source that reads them.
_CONTAINERS = {"*.tar": "webdataset", "*.parquet": "parquet", "*.arrow": "parquet"}


def folder_source(folder: Path, options: BuildOptions) -> FileSource:
    """The images (jpg, png, webp) of a folder, at any depth, without hidden files.

    Folders named train, test or val decide the split, if there are any; otherwise the last eighth
    by sorted name is the test split. Raises `ConfigError` if there are no images, or fewer than
    `options.images`; and `DataError` for an attribute table that does not match.
    """
    found = list_photographs(folder)
    if not found:
        _refuse_containers(folder)
    paths = spread(found, options.images, str(folder))
    table = options.attributes
    keys = _keys(paths)
    return FileSource(
        folder,
        [ImageFile(keys[p], split, p) for p, split in zip(paths, _splits(paths), strict=True)],
        options,
        facts={
            "source": "folder",
            "attributes_sha256": hashlib.sha256(table.read_bytes()).hexdigest() if table else None,
            "licence": "that of the images",
        },
        attributes=match_attributes(read_attributes(table), paths, table) if table else {},
    )


def _refuse_containers(folder: Path) -> None:
    for pattern, source in _CONTAINERS.items():
        if next(folder.rglob(pattern), None) is not None:
            raise ConfigError(
                f"{folder} holds no image files, only {pattern}; type"
                f" data build {source} data.input={folder}"
            )


def _splits(names: Sequence[str]) -> list[Split]:
    named = [named_split(name.split("/")[:-1]) for name in names]
    if any(named):
        return [split or "train" for split in named]
    return [split_of(position, len(names)) for position in range(len(names))]


def _keys(names: Sequence[str]) -> dict[str, str]:
    """Path → key: the path without its ending, in safe characters, made unique by a hash."""
    plain = {name: re.sub(r"[^A-Za-z0-9_-]", "_", name.rpartition(".")[0]) for name in names}
    uses = collections.Counter(plain.values())
    keys = {}
    for name, key in plain.items():
        if uses[key] > 1 or len(key) > _MAX_KEY_CHARACTERS:
            digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
            key = f"{key[: _MAX_KEY_CHARACTERS - 17]}-{digest}"
        keys[name] = key
    return keys
