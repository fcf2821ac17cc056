"""Decoding the images of shards."""

import io

from PIL import Image, UnidentifiedImageError

from ganinv.errors import DataError
from ganinv.kinds.converting import Pixels
from ganinv.kinds.kind import DEEP, RGB8, Kind
from ganinv.kinds.reading import pixels_of
from ganinv.pixels import decode_errors, upright_size

# What Pillow may read: the formats of `datasets.shards.tables.IMAGE_EXTENSIONS`.
FORMATS = (*("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "AVIF", "JPEG2000", "QOI", "PPM"),)

DECODE_ERRORS = decode_errors()


def image_size(data: bytes, kind: Kind = RGB8) -> tuple[int, int]:
    """Width and height in pixels, from the header alone.

    Raises `DataError`, with the reason alone, for a corrupt header, and for pixels that
    `ganinv.pixels` and `ganinv.kinds` refuse.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return upright_size(image, deep=kind.bits == DEEP)
    except DECODE_ERRORS as problem:
        raise DataError(reason_of(problem)) from problem


def decode_image(
    data: bytes | memoryview, size: tuple[int, int], what: str, kind: Kind = RGB8
) -> Pixels:
    """H × W × C as `ganinv.pixels` and `ganinv.kinds` define it; `size` is (W, H) in pixels.

    Raises `DataError` for a corrupt image, for an image of another size, and for pixels that have
    no definition. The size is checked before any pixel is decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.size not in (size, size[::-1]):
                raise _wrong_size(image.size, size)
            upright_HWC = pixels_of(image, kind, data)
            height, width = upright_HWC.shape[:2]
            if (width, height) != size:
                raise _wrong_size((width, height), size)
            return upright_HWC
    except DataError as problem:
        raise DataError(f"{what}: {problem}") from problem
    except DECODE_ERRORS as problem:
        raise DataError(
            f"{what} cannot be decoded ({reason_of(problem)}); run `data verify` to find all such"
            " images, then build or upload these shards again"
        ) from problem


def reason_of(problem: Exception) -> str:
    """Why an image cannot be decoded, for one of `DECODE_ERRORS`."""
    if isinstance(problem, UnidentifiedImageError):
        return "no picture of a format that can be read"  # Pillow's own text holds an address
    return f"{type(problem).__name__}: {problem}"


def _wrong_size(found: tuple[int, int], size: tuple[int, int]) -> DataError:
    return DataError(
        f"it has {found[0]} × {found[1]} pixels, the index says {size[0]} × {size[1]}; run `data"
        " index` or `data build` again"
    )
