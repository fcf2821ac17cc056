"""Decoding the images of shards."""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganinv.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP")

# What Pillow's decoders raise for corrupt or hostile bytes.
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def image_size(data: bytes, what: str) -> tuple[int, int]:
    """Width and height in pixels, from the header alone; `what` names the image in messages.

    Raises `DataError` for a corrupt header.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return image.size
    except DECODE_ERRORS as problem:
        raise _unreadable(what, problem) from problem


def decode_image(data: bytes | memoryview, resolution: int, what: str) -> NDArray[np.uint8]:
    """A square image: `decode_sized` with H = W = resolution."""
    return decode_sized(data, (resolution, resolution), what)


def decode_sized(data: bytes | memoryview, size: tuple[int, int], what: str) -> NDArray[np.uint8]:
    """RGB uint8, H × W × 3; `size` is (W, H) in pixels.

    Raises `DataError` for a corrupt image and for an image of another size. The size is checked
    before any pixel is decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.size != size:
                raise DataError(
                    f"{what} has {image.width} × {image.height} pixels, the index says"
                    f" {size[0]} × {size[1]}; run `data index` or `data build` again"
                )
            # `convert` would copy an image that is RGB already.
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except DECODE_ERRORS as problem:
        raise _unreadable(what, problem) from problem


def _unreadable(what: str, problem: Exception) -> DataError:
    return DataError(
        f"{what} cannot be decoded ({type(problem).__name__}: {problem}); run `data verify` to"
        " find all such images, then build or upload these shards again"
    )
