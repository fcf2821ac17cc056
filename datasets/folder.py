"""A tree of photographs as a source: centre crop and Lanczos resize, attributes from a table."""

import collections
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets.attributes import match_attributes, read_attributes
from datasets.photographs import EXTENSIONS, Photographs, list_photographs
from datasets.source import BuildOptions, Sample, Skipped, Split, named_split, split_of
from ganinv.errors import ConfigError

_MAX_KEY_CHARACTERS = 80


class FolderSource:
    """The images (jpg, png, webp) of a folder, at any depth, hidden ones left out.

    Folders named train, test or val decide the split where there are any; otherwise the last
    eighth by sorted name is for tests.
    """

    def __init__(self, folder: Path, options: BuildOptions) -> None:
        """Raises `ConfigError` if there are no images, or fewer than `options.images`."""
        self._folder = folder
        self._options = options
        self._names = list_photographs(folder)
        self.skipped: list[Skipped] = []
        wanted = options.images or len(self._names)
        if not self._names or wanted > len(self._names):
            raise ConfigError(
                f"{folder} holds {len(self._names)} images ({', '.join(EXTENSIONS)}) and"
                f" {max(wanted, 1)} were asked for; lower data.images or name another folder"
            )
        # Spread over the folder, so that every part of it (train, test, classes) is there.
        self._names = [self._names[i * len(self._names) // wanted] for i in range(wanted)]
        self.count = wanted

    def samples(self) -> Iterator[Sample]:
        """Raises `DataError` once more than the allowed ratio of files is unreadable."""
        keys = _keys(self._names)
        splits = dict(zip(self._names, _splits(self._names), strict=True))
        attributes = self._attributes()
        photographs = Photographs(
            folder=self._folder,
            names=sorted(self._names, key=keys.__getitem__),
            resolution=self._options.resolution,
            max_unreadable=self._options.max_unreadable,
            option="data.max_unreadable",
            skipped=self.skipped,
        )
        for name, image_HWC in photographs.read():
            yield Sample(
                key=keys[name],
                image_HWC=image_HWC,
                attributes=attributes.get(name, {}),
                split=splits[name],
            )

    def describe(self) -> dict[str, Any]:
        listing = hashlib.sha256()
        for name in self._names:
            size_bytes = (self._folder / name).lstat().st_size
            listing.update(f"{name}\0{size_bytes}\n".encode("utf-8", "surrogateescape"))
        table = self._options.attributes
        return {
            "source": "folder",
            "images": self.count,
            "resolution": self._options.resolution,
            "files_sha256": listing.hexdigest(),
            "attributes_sha256": hashlib.sha256(table.read_bytes()).hexdigest() if table else None,
            "licence": "that of the images",
        }

    def _attributes(self) -> dict[str, dict[str, Any]]:
        if self._options.attributes is None:
            return {}
        rows = read_attributes(self._options.attributes)
        return match_attributes(rows, self._names, self._options.attributes)


def _splits(names: Sequence[str]) -> list[Split]:
    named = [named_split(name.split("/")[:-1]) for name in names]
    if any(named):
        return [split or "train" for split in named]
    return [split_of(position, len(names)) for position in range(len(names))]


def _keys(names: Sequence[str]) -> dict[str, str]:
    """A safe key for each path: itself without its ending, told apart by a hash where needed."""
    plain = {name: re.sub(r"[^A-Za-z0-9_-]", "_", name.rpartition(".")[0]) for name in names}
    uses = collections.Counter(plain.values())
    keys = {}
    for name, key in plain.items():
        if uses[key] > 1 or len(key) > _MAX_KEY_CHARACTERS:
            digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
            key = f"{key[: _MAX_KEY_CHARACTERS - 17]}-{digest}"
        keys[name] = key
    return keys
