"""Base of sources that read image files from a directory."""

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets.inputs.left_out import LeftOut
from datasets.shards.splits import SPLITS, Split
from datasets.sources.base import BuildOptions, Content, Source, Work, check_training
from datasets.sources.photographs import Photo, read_contents, work_on


class ImageFile(NamedTuple):
    """One file of a source."""

    key: str
    split: Split
    path: str
    """Below the source's directory, with forward slashes."""


class FileSource(Source):
    """Image files of a directory, with keys, splits and attributes that the caller gives."""

    def __init__(
        self,
        folder: Path,
        files: Sequence[ImageFile],
        options: BuildOptions,
        *,
        facts: Mapping[str, Any],
        attributes: Mapping[str, Mapping[str, Any]],
        left_out: LeftOut,
    ) -> None:
        """`facts`: the first entries of `description`; `attributes`: path → attributes.

        Raises `ConfigError` if no image is for training.
        """
        check_training((file.split for file in files), str(folder))
        self._folder = folder
        self._files = sorted(files, key=lambda file: (SPLITS.index(file.split), file.key))
        self._geometry = options.geometry
        self._max_pixels = options.max_pixels
        self._facts = dict(facts) | options.facts()
        self._attributes = attributes
        self._left_out = left_out
        self.count = len(files)

    @property
    def left_out(self) -> LeftOut:
        return self._left_out

    def work(self, first: int) -> Iterator[Work]:
        return work_on(self._photos(first), self._geometry, self._max_pixels)

    def stamp(self) -> str:
        stamp = hashlib.sha256()
        for file in self._files:
            facts = [
                *file,
                self._attributes.get(file.path, {}),
                *_version(self._folder / file.path),
            ]
            stamp.update(json.dumps(facts, sort_keys=True, default=str).encode())
        return stamp.hexdigest()

    def contents(self) -> Generator[Content, None, None]:
        return read_contents(self._photos(0))

    def description(self) -> dict[str, Any]:
        listing = hashlib.sha256()
        for path in sorted(file.path for file in self._files):
            size_bytes = (self._folder / path).lstat().st_size
            listing.update(f"{path}\0{size_bytes}\n".encode("utf-8", "surrogateescape"))
        return {
            **self._facts,
            "images": self.count,
            **self._geometry.facts(),
            "files_sha256": listing.hexdigest(),
        }

    def _photos(self, first: int) -> Iterator[Photo]:
        for file in self._files[first:]:
            yield Photo(
                file.key,
                file.split,
                file.path,
                self._folder / file.path,
                dict(self._attributes.get(file.path, {})),
            )


def _version(path: Path) -> list[int]:
    """Changes if the file is written or replaced, or the target of a link is; empty if missing."""
    try:
        found = path.stat()
    except OSError:
        return []  # the build lists it as unreadable
    return [found.st_size, found.st_mtime_ns, found.st_ino]
