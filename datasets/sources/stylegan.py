"""Zip archives in the layout of StyleGAN: images, and `dataset.json` with their labels.

`dataset_tool.py` of https://github.com/NVlabs/stylegan3 makes them. `data.input` is one archive, or
a folder or URL of archives. The labels become the attribute `label`.

    ganinv data build stylegan data.input=~/ffhq-256x256.zip data.url=s3://bucket/ffhq256 \\
        data.resolution=256

Folders in an archive named train, val or test decide the split; without such names, the last eighth
is the test split.
"""

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from datasets.inputs.left_out import IMAGES, ROWS, LeftOut
from datasets.inputs.listing import EXTENSIONS, other_files
from datasets.inputs.object_file import ObjectFile
from datasets.shards.attributes import parse_json
from datasets.shards.splits import SPLITS, splits_by_name
from datasets.sources.base import BuildOptions, Inputs
from datasets.sources.containers import ContainerImage, ContainerSource
from datasets.sources.input_places import data_entries, given_input
from ganinv.errors import ConfigError, DataError
from ganinv.places.walking import is_system_file
from ganinv.seams.stores import Entry, Store

_ZIP = ".zip"
_LABELS = "dataset.json"
_BUFFER_BYTES = 2**20
# What `zipfile` raises for corrupt, encrypted and unknown members.
_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError)
_MAX_IMAGE_BYTES = 256 * 2**20


class Archive:
    """The images of one split of a zip archive, by name. Implements `Container`."""

    def __init__(
        self,
        store: Store,
        entry: Entry,
        split: str | None,
        names: Sequence[str],
        labels: Mapping[str, Any],
    ) -> None:
        self.name = f"{split}/{entry.name}" if split else entry.name
        self.size_bytes = entry.size_bytes
        self.version = entry.version
        self.count = len(names)
        self._store = store
        self._entry = entry
        self._names = names
        self._labels = labels

    def images(self, wanted: Sequence[int]) -> Iterator[ContainerImage]:
        if not wanted:
            return
        with _opened(self._store, self._entry) as archive:
            for number in wanted:
                name = self._names[number]
                label = self._labels.get(name)
                attributes = {"file": name} | ({} if label is None else {"label": label})
                try:
                    yield ContainerImage(archive.read(name), attributes)
                except _ERRORS as problem:
                    yield ContainerImage(b"", attributes, f"{name}: {problem}")


def source(options: BuildOptions, inputs: Inputs) -> ContainerSource:
    """Raises `ConfigError` if there is no such archive, `DataError` for a corrupt one."""
    given = given_input(options, "the zip archive")
    where = f"data.input={given}"
    left_out = LeftOut()
    if given.lower().endswith(_ZIP):
        folder, _, name = given.rpartition("/")
        store = inputs.open_store(folder or ("/" if given.startswith("/") else "."))
        found = [entry for entry in store.list(name) if entry.name == name]
    else:
        store = inputs.open_store(given)
        found, left_out = data_entries(store, (_ZIP,))
    if not found:
        others = f" but {left_out.line(names=True)}" if left_out else ""
        raise ConfigError(f"{where} holds no zip archive{others}; name another input")
    advance = inputs.show_progress("reading zip directories")
    archives: list[Archive] = []
    for done, entry in enumerate(found, start=1):
        archives.extend(_archives(store, entry, options, left_out))
        advance(done, len(found), 0)
    return ContainerSource(
        archives,
        options,
        where,
        facts={"source": "stylegan", "licence": "that of the images"},
        left_out=left_out,
    )


def _archives(
    store: Store, entry: Entry, options: BuildOptions, left_out: LeftOut
) -> Iterator[Archive]:
    """The archive, once for each split that its folders name, or once as a whole."""
    with _opened(store, entry) as archive:
        names = _images(archive, entry.name, left_out)
        labels = _labels(archive, entry.name)
    left_out.totals[IMAGES] = left_out.totals.get(IMAGES, 0) + len(names)
    left_out.totals[ROWS] = left_out.totals.get(ROWS, 0) + len(labels)
    for name in sorted(labels.keys() - set(names)):
        left_out.add(f"labels of {_LABELS} that match no image", name, of=ROWS)
    if labels:
        for name in names:
            if name not in labels:
                left_out.note(f"images without a label in {_LABELS}", f"{entry.name}/{name}")
    named = splits_by_name(names, entry.name) if options.split_by_name else None
    if named is None:
        yield Archive(store, entry, None, names, labels)
        return
    for split in SPLITS:
        of_split = [name for name, found in zip(names, named, strict=True) if found == split]
        yield Archive(store, entry, split, of_split, labels)


def _images(archive: zipfile.ZipFile, archive_name: str, left_out: LeftOut) -> list[str]:
    """Sorted names of the images."""
    names = set()
    for member in archive.infolist():
        file_name = member.filename.rpartition("/")[2]
        if member.is_dir() or is_system_file(file_name) or member.filename == _LABELS:
            continue
        name = f"{archive_name}/{member.filename}"
        if not file_name.lower().endswith(EXTENSIONS) or file_name.startswith("."):
            left_out.note(other_files(file_name), name)
        elif member.file_size > _MAX_IMAGE_BYTES:
            left_out.add("images above 256 MiB", name)
        else:
            names.add(member.filename)
    return sorted(names)


def _labels(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    """Name of an image → its label; empty without labels."""
    if _LABELS not in archive.namelist():
        return {}
    try:
        pairs = parse_json(archive.read(_LABELS))["labels"] or []
        return {name.removeprefix("./"): label for name, label in pairs}
    except (*_ERRORS, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise DataError(
            f'{name}: {_LABELS} is not StyleGAN\'s, an object with the list "labels" of pairs of'
            f" name and label ({type(problem).__name__}: {problem}); correct it"
        ) from problem


@contextmanager
def _opened(store: Store, entry: Entry) -> Iterator[zipfile.ZipFile]:
    file = ObjectFile(store, entry.name, entry.size_bytes)
    with io.BufferedReader(file, _BUFFER_BYTES) as buffered:
        try:
            archive = zipfile.ZipFile(buffered)
        except zipfile.BadZipFile as problem:
            raise DataError(
                f"{store.url}: {entry.name} is no complete zip archive ({problem}); fetch it again"
            ) from problem
        with archive:
            yield archive
