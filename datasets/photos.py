"""Photographs as they come, files or bytes, to samples. Runs in worker processes: light imports."""

import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from datasets.geometry import Geometry
from datasets.images import DECODE_ERRORS, FORMATS
from datasets.source import Sample, Skipped, Split, Work

_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")

# What one call of work holds at most: enough to make the traffic between processes cheap.
_WORK_PHOTOS = 32
_WORK_BYTES = 8 * 2**20


class Photo(NamedTuple):
    """An image that has not been looked at yet."""

    key: str
    split: Split
    name: str
    """For messages: the path, or the container and the place in it."""
    image: Path | bytes
    """A file, or its content."""
    attributes: dict[str, Any]


def work_on(photos: Iterable[Photo], geometry: Geometry) -> Iterator[Work]:
    """The photographs in order, cut into calls that make samples of them."""
    chunk: list[Photo] = []
    size_bytes = 0
    for photo in photos:
        chunk.append(photo)
        size_bytes += len(photo.image) if isinstance(photo.image, bytes) else 0
        if len(chunk) >= _WORK_PHOTOS or size_bytes >= _WORK_BYTES:
            yield partial(_load_all, geometry, chunk)
            chunk, size_bytes = [], 0
    if chunk:
        yield partial(_load_all, geometry, chunk)


def _load_all(geometry: Geometry, photos: Sequence[Photo]) -> list[Sample | Skipped]:
    return [_load(geometry, photo) for photo in photos]


def _load(geometry: Geometry, photo: Photo) -> Sample | Skipped:
    loaded = _pixels(photo.image, geometry)
    if isinstance(loaded, str):
        return Skipped(photo.name, loaded)
    return Sample(key=photo.key, image_HWC=loaded, attributes=photo.attributes, split=photo.split)


def _pixels(source: Path | bytes, geometry: Geometry) -> NDArray[np.uint8] | str:
    """The image as RGB uint8 of the geometry's size, or the reason why it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(file, formats=FORMATS) as image:
                if image.mode not in _EIGHT_BIT_MODES:
                    return f"its pixels are {image.mode}, not 8 bits a channel"
                return np.array(geometry.fit(_rgb(ImageOps.exif_transpose(image))))
    except DECODE_ERRORS as problem:
        return f"{type(problem).__name__}: {problem}"


def _rgb(image: Image.Image) -> Image.Image:
    """Transparent parts become white: the colour stored under them is arbitrary."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
