"""Decoding and resizing photographs. Runs in worker processes, so its imports are light."""

import hashlib
import io
import json
import os
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.parallel import IO_THREADS, map_processes, map_threads, processes_for
from datasets.shards.images import DECODE_ERRORS, FORMATS
from datasets.shards.splits import Split
from datasets.sources.base import Content, Sample, Skipped, Work
from datasets.sources.geometry import CROP, STRETCH, Geometry
from datasets.sources.unreadable import Unreadable
from ganinv.errors import DataError
from ganinv.resizing import resize_photograph

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")

# The most that one call of work holds: enough to make the traffic between processes cheap.
_WORK_PHOTOS = 32
_WORK_BYTES = 8 * 2**20


def list_photographs(folder: Path) -> list[str]:
    """Sorted paths, with forward slashes, of the jpg, png and webp files below `folder`.

    Skips hidden files and folders, and does not follow links to folders.
    """
    names = []
    for where, folders, file_names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in file_names:
            if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                names.append((Path(where) / name).relative_to(folder).as_posix())
    return sorted(names)


class Photo(NamedTuple):
    """An image that has not been decoded yet."""

    key: str
    split: Split
    name: str
    """Name in messages: the path, or the container and the number in it."""
    image: Path | bytes
    """The file, or its content."""
    attributes: dict[str, Any]


def read_contents(photos: Iterable[Photo]) -> Generator[Content, None, None]:
    """The contents of the photographs, in order; threads read them."""
    return map_threads(lambda photo: Content(photo.name, _content(photo)[1]), photos, IO_THREADS)


def work_on(photos: Iterable[Photo], geometry: Geometry) -> Iterator[Work]:
    """Calls that make samples of the photographs, in order."""
    chunk: list[Photo] = []
    size_bytes = 0
    for photo in photos:
        chunk.append(photo)
        size_bytes += len(photo.image) if isinstance(photo.image, bytes) else 0
        if len(chunk) >= _WORK_PHOTOS or size_bytes >= _WORK_BYTES:
            yield partial(_make_samples, geometry, chunk)
            chunk, size_bytes = [], 0
    if chunk:
        yield partial(_make_samples, geometry, chunk)


@dataclass(kw_only=True)
class Photographs:
    """Reads the files `names` below `folder`, in that order, as square images."""

    folder: Path
    names: Sequence[str]
    resolution: int  # pixels a side
    max_unreadable: float  # largest ratio, 0–1, of files that are skipped
    option: str  # the key of that ratio, for messages
    skipped: list[Skipped] = field(default_factory=list)  # by the last call of `read`, so far

    def read(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Names and images (RGB uint8, H × W × 3; the upright central square of each photograph).

        Raises `DataError` once the ratio of unreadable files exceeds `max_unreadable`, or if no
        file is readable.
        """
        self.skipped.clear()
        unreadable = Unreadable(
            total=len(self.names),
            max_ratio=self.max_unreadable,
            option=self.option,
            skipped=self.skipped,
        )
        load = partial(_load, Geometry(width=self.resolution, height=self.resolution, resize=CROP))
        paths = (self.folder / name for name in self.names)
        with closing(map_processes(load, paths, processes_for(len(self.names)))) as images:
            for name, image_HWC in zip(self.names, images, strict=True):
                if isinstance(image_HWC, str):
                    unreadable.add(Skipped(name, image_HWC))
                else:
                    yield name, image_HWC
        if len(self.skipped) == len(self.names):
            raise unreadable.error()


def _make_samples(geometry: Geometry, photos: Sequence[Photo]) -> list[Sample | Skipped]:
    made: list[Sample | Skipped] = []
    for photo in photos:
        image, content = _content(photo)
        image_HWC = _load(geometry, image)
        made.append(
            Skipped(photo.name, image_HWC, content)
            if isinstance(image_HWC, str)
            else Sample(
                key=photo.key,
                image_HWC=image_HWC,
                attributes=photo.attributes,
                split=photo.split,
                content=content,
            )
        )
    return made


def _content(photo: Photo) -> tuple[Path | bytes, str]:
    """The encoded image, or the path of a file that cannot be read; and `Content.digest`."""
    image = photo.image
    if isinstance(image, Path):
        try:
            image = image.read_bytes()
        except OSError:
            return image, "unreadable"  # decoding it says why
    facts = json.dumps([photo.key, photo.split, photo.attributes], sort_keys=True, default=str)
    digest = hashlib.blake2b(facts.encode() + b"\0", digest_size=16)
    digest.update(image)
    return image, digest.hexdigest()


def _load(geometry: Geometry, source: Path | bytes) -> NDArray[np.uint8] | str:
    """The image, RGB uint8 of the geometry's size; or the reason why it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(file, formats=FORMATS) as image:
                stretch = geometry.resize == STRETCH
                return np.array(
                    resize_photograph(image, geometry.width, geometry.height, stretch=stretch)
                )
    except DataError as problem:
        return str(problem)
    except DECODE_ERRORS as problem:
        return f"{type(problem).__name__}: {problem}"
