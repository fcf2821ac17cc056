"""Decoding and resizing photographs. Runs in worker processes, so its imports are light."""

import hashlib
import io
import json
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from datasets.inputs.left_out import LeftOut
from datasets.parallel import IO_THREADS, map_processes, map_threads, processes_for
from datasets.shards.images import DECODE_ERRORS, FORMATS, reason_of
from datasets.shards.scan import UNREADABLE
from datasets.shards.splits import Split
from datasets.sources.base import Content, Sample, Skipped, Work
from datasets.sources.geometry import Geometry
from datasets.sources.unreadable import Unreadable
from ganinv.alignment.aligning import align_pixels
from ganinv.alignment.landmarks import NoFaceError
from ganinv.alignment.pasting import paste
from ganinv.alignment.transform import CROP, FACES, Transform
from ganinv.errors import DataError
from ganinv.kinds.converting import Pixels
from ganinv.kinds.kind import DEEP, RGB8, Kind
from ganinv.sizes import Size

WITHOUT_FACE = "photographs without a face"
ALIGNMENT = "alignment"  # the attribute of an aligned sample: its photograph and its transform

# The most that one call of work holds: enough to make the traffic between processes cheap.
_WORK_PHOTOS = 32
_WORK_BYTES = 8 * 2**20


class Photo(NamedTuple):
    """An image that has not been decoded yet."""

    key: str
    split: Split
    name: str
    """Name in messages: the path, or the container and the number in it."""
    image: Path | bytes
    """The file, or its content."""
    attributes: dict[str, Any]
    problem: str | None = None
    """Why there is no image, if that is known already."""


class _Limit(NamedTuple):
    """Images of more pixels are not decoded."""

    pixels: int
    option: str  # the key of that number, for messages


class Placed(NamedTuple):
    """A photograph as an image, and where the image lies in it."""

    image_HWC: Pixels
    transform: Transform


class _Problem(NamedTuple):
    """Why an image is left out."""

    reason: str
    kind: str = UNREADABLE  # as in `Skipped`


def read_contents(photos: Iterable[Photo]) -> Generator[Content, None, None]:
    """The contents of the photographs, in order; threads read them."""
    return map_threads(lambda photo: Content(photo.name, _content(photo)[1]), photos, IO_THREADS)


def work_on(photos: Iterable[Photo], geometry: Geometry, max_pixels: int) -> Iterator[Work]:
    """Calls that make samples of the photographs, in order."""
    limit = _Limit(max_pixels, "data.max_pixels")
    chunk: list[Photo] = []
    size_bytes = 0
    for photo in photos:
        chunk.append(photo)
        size_bytes += len(photo.image) if isinstance(photo.image, bytes) else 0
        if len(chunk) >= _WORK_PHOTOS or size_bytes >= _WORK_BYTES:
            yield partial(_make_samples, geometry, limit, chunk)
            chunk, size_bytes = [], 0
    if chunk:
        yield partial(_make_samples, geometry, limit, chunk)


@dataclass(kw_only=True)
class Photographs:
    """Reads the files `names` below `folder`, in that order, as images of one size."""

    folder: Path
    names: Sequence[str]
    size: Size
    kind: Kind = RGB8
    max_unreadable: float  # largest ratio, 0–1, of files that are skipped
    max_pixels: int
    options: str  # the section of both keys, for messages, such as `invert`
    alignment: str = CROP  # see `ganinv.alignment.aligning.align`
    left_out: LeftOut = field(default_factory=LeftOut)  # when the files were listed
    skipped: list[Skipped] = field(default_factory=list)  # by the last call of `read`, so far

    def read(self) -> Iterator[tuple[str, Pixels]]:
        """Names and images (H × W × C of `kind`), aligned and upright; raises as `placed`."""
        for name, found in self.placed():
            yield name, found.image_HWC

    def placed(self) -> Iterator[tuple[str, Placed]]:
        """Names and images, with the place of each image in its photograph.

        Raises `DataError` once the ratio of unreadable files, and of those without the face that
        is asked for, exceeds `max_unreadable`, or if no file is readable.
        """
        self.skipped.clear()
        unreadable = Unreadable(
            total=len(self.names),
            max_ratio=self.max_unreadable,
            option=f"{self.options}.max_unreadable",
            before=self.left_out,
            skipped=self.skipped,
        )
        width, height = self.size
        geometry = Geometry(width=width, height=height, alignment=self.alignment, kind=self.kind)
        load = partial(_load, geometry, self._limit)
        paths = (self.folder / name for name in self.names)
        with closing(map_processes(load, paths, processes_for(len(self.names)))) as images:
            for name, found in zip(self.names, images, strict=True):
                if isinstance(found, _Problem):
                    unreadable.add(Skipped(name, found.reason, kind=found.kind))
                else:
                    yield name, found
        if len(self.skipped) == len(self.names):
            raise unreadable.error()

    def pasted(self, name: str, edited: Image.Image, transform: Transform) -> Image.Image:
        """The photograph `name`, upright, with its edited image back in its place.

        Raises `DataError` if the photograph cannot be read any more, or has changed.
        """
        try:
            with _limiting(self._limit), Image.open(self.folder / name, formats=FORMATS) as file:
                return paste(file, edited, transform)
        except DataError as problem:
            raise _cannot_paste(name, str(problem)) from problem
        except DECODE_ERRORS as problem:
            raise _cannot_paste(name, reason_of(problem)) from problem

    @property
    def _limit(self) -> _Limit:
        return _Limit(self.max_pixels, f"{self.options}.max_pixels")


def _cannot_paste(name: str, reason: str) -> DataError:
    return DataError(
        f"{name}: the image cannot be pasted into it ({reason}); leave photographs as they are"
        " until the command ends"
    )


def _make_samples(
    geometry: Geometry, limit: _Limit, photos: Sequence[Photo]
) -> list[Sample | Skipped]:
    made: list[Sample | Skipped] = []
    for photo in photos:
        image, content = _content(photo)
        problem = photo.problem or _taken(photo, geometry)
        found = _Problem(problem) if problem else _load(geometry, limit, image)
        made.append(
            Skipped(photo.name, found.reason, content, found.kind)
            if isinstance(found, _Problem)
            else Sample(
                key=photo.key,
                image_HWC=found.image_HWC,
                attributes=_attributes(photo, found.transform),
                split=photo.split,
                content=content,
            )
        )
    return made


def _taken(photo: Photo, geometry: Geometry) -> str | None:
    """Why the place of an aligned image cannot be among the attributes, if it cannot."""
    if geometry.alignment == FACES and ALIGNMENT in photo.attributes:
        return f"it has an attribute {ALIGNMENT!r}, which aligning adds; rename that attribute"
    return None


def _attributes(photo: Photo, transform: Transform) -> dict[str, Any]:
    """With the place of an aligned image. That of other images follows from their size alone."""
    if transform.alignment != FACES:
        return photo.attributes
    return photo.attributes | {
        ALIGNMENT: {"photograph": photo.name, "transform": transform.plain()}
    }


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


def _load(geometry: Geometry, limit: _Limit, source: Path | bytes) -> Placed | _Problem:
    """The image of the geometry's size and kind; or the reason why it is left out."""
    size, kind = Size(geometry.width, geometry.height), geometry.kind
    try:
        if kind.bits == DEEP and isinstance(source, Path):
            source = source.read_bytes()  # Pillow alone cannot read it without loss
        data = source if isinstance(source, bytes) else b""
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with _limiting(limit), Image.open(file, formats=FORMATS) as image:
            return Placed(*align_pixels(image, size, geometry.alignment, kind, data))
    except NoFaceError as problem:
        return _Problem(str(problem), WITHOUT_FACE)
    except DataError as problem:
        return _Problem(str(problem))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return _Problem(
            f"it has more pixels than {limit.option}={limit.pixels}; raise that number if there is"
            " memory for such images",
            f"images above {limit.option}",
        )
    except DECODE_ERRORS as problem:
        return _Problem(reason_of(problem))


@contextmanager
def _limiting(limit: _Limit) -> Iterator[None]:
    """Pillow raises one of its two errors for decompression bombs above this number of pixels."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = limit.pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
