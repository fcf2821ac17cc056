"""A folder of photographs as a source: keys and splits from the paths, attributes from a table."""

import collections
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from datasets.inputs.attributes import AttributeTable, read_attributes
from datasets.inputs.left_out import ROWS, LeftOut
from datasets.inputs.listing import list_images, refuse_folder, refuse_no_images
from datasets.inputs.matching import match_rows
from datasets.shards.splits import Split, split_of, splits_by_name, splits_if_all_named
from datasets.sources.base import BuildOptions, spread
from datasets.sources.files import FileSource, ImageFile
from ganinv.errors import ConfigError, DataError
from ganinv.places.walking import files_below, is_system_file

_MAX_KEY_CHARACTERS = 80
# Files of other kinds, and the source that reads them.
_CONTAINERS = (
    (".tar", "webdataset", ""),
    (".parquet", "parquet", ""),
    (".arrow", "parquet", ""),
    (".mdb", "lsun", ""),
    (".zip", "stylegan", " if it holds a dataset.json (StyleGAN's layout), or else unpack it"),
)


def folder_source(folder: Path, options: BuildOptions) -> FileSource:
    """The images of a folder, at any depth, without hidden files.

    Folders named train, val or test decide the split (`shards.splits`), if there are any; else the
    first words of all file names, if they name both splits; else the last eighth by sorted name is
    the test split.

    Raises `ConfigError` if there are no images, or fewer than `options.images`, or if some folders
    name a split and others do not; and `DataError` for an attribute table that does not match, or
    if more is left out than `options.max_unreadable`.
    """
    found, left_out = list_images(folder)
    if not found:
        _refuse_containers(folder)
        raise refuse_no_images(str(folder), left_out)
    named = _named_splits(found, folder) if options.split_by_name else None
    table = options.attributes
    attributes = _match(table, found, left_out) if table else {}
    left_out.check(options.max_unreadable, "data.max_unreadable")
    chosen = spread(range(len(found)), options.images, str(folder))
    count = len(chosen)
    splits = [named[n] if named else split_of(place, count) for place, n in enumerate(chosen)]
    paths = [found[number] for number in chosen]
    keys = _keys(paths)
    return FileSource(
        folder,
        [ImageFile(keys[p], split, p) for p, split in zip(paths, splits, strict=True)],
        options,
        facts={
            "source": "folder",
            "attributes_sha256": hashlib.sha256(table.read_bytes()).hexdigest() if table else None,
            "licence": "that of the images",
        },
        attributes=attributes,
        left_out=left_out,
    )


def _match(table: Path, names: Sequence[str], left_out: LeftOut) -> AttributeTable:
    """Path of each image → its attributes. Counts the rows and the images without a partner."""
    rows = read_attributes(table)
    matched, others = match_rows(rows, names, f"data.attributes={table}")
    if not matched:
        example = next(iter(rows), "nothing")
        raise DataError(
            f"data.attributes={table}: no row matches an image; the table names {example!r}, the"
            f" folder holds {names[0]!r}; write paths relative to the folder in 'file'"
        )
    for name in others:
        left_out.add("rows of data.attributes that match no image", name, of=ROWS)
    left_out.totals[ROWS] = len(rows)
    for name in names:
        if name not in matched:
            left_out.note("images without a row in data.attributes, kept without attributes", name)
    return matched


def _refuse_containers(folder: Path) -> None:
    entries = files_below(folder, on_error=refuse_folder)
    names = [entry.name for entry in entries if not is_system_file(entry.name)]
    for ending, source, condition in _CONTAINERS:
        if any(name.lower().endswith(ending) for name in names):
            raise ConfigError(
                f"{folder} holds no image files but *{ending}; type data build {source}"
                f" data.input={folder}{condition}"
            )


def _named_splits(names: Sequence[str], folder: Path) -> list[Split] | None:
    return splits_by_name(names, f"data build {folder}") or splits_if_all_named(names)


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
