"""Uploaded files: photographs as upright pixels. What cannot be one is refused in words.

The content decides what a file is; its name only names it in messages.
"""

import io

from PIL import Image, UnidentifiedImageError

from datasets.shards.images import DECODE_ERRORS, FORMATS
from ganinv.errors import DataError
from ganinv.kinds.converting import Pixels
from ganinv.kinds.kind import DEEP, Kind
from ganinv.kinds.reading import pixels_of
from ganinv.pixels import DEEP_GREYS

SHOWN_OF_A_NAME = 40  # characters
_REMEDY = "save it as PNG or JPEG in an image editor, and choose that file"


def short_name(name: str) -> str:
    """A file's name for people: without line breaks and control characters, and not too long."""
    shown = "".join(c for c in name if c.isprintable()).strip() or "the file"
    half = SHOWN_OF_A_NAME // 2
    return shown if len(shown) <= SHOWN_OF_A_NAME else f"{shown[:half]}…{shown[-half + 1 :]}"


def photograph(data: bytes, name: str, max_pixels: int, kind: Kind) -> Pixels:
    """The pixels of `kind`, H × W × C, turned upright; see `ganinv.pixels`.

    Raises `DataError` for a file that holds no such picture. Pixels are counted before any is
    decoded.
    """
    shown = short_name(name)
    try:
        return _opened(data, max_pixels, kind)
    except UnidentifiedImageError as error:
        raise DataError(f"{shown}: {_kind(data)}; {_REMEDY}") from error
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{shown}: has far more pixels than the {max_pixels:,} that this studio takes; make it "
            "smaller"
        ) from error
    except DataError as error:
        raise DataError(f"{shown}: {error}") from error
    except DECODE_ERRORS as error:
        raise DataError(
            f"{shown}: is damaged or incomplete ({error}); copy it again, or choose another file"
        ) from error


def _opened(data: bytes, max_pixels: int, kind: Kind) -> Pixels:
    if not data:
        raise DataError("is empty; choose another file")
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        width, height = picture.size
        if width * height > max_pixels:
            raise DataError(
                f"has {width:,} × {height:,} pixels, more than the {max_pixels:,} that this studio "
                "takes; make it smaller, or start the studio with a larger studio.max_pixels"
            )
        deep = kind.bits == DEEP and picture.mode in DEEP_GREYS
        if picture.mode.startswith(("I", "F")) and not deep:
            raise DataError(
                "has more than 8 bits a pixel and does not say which value is white; " + _REMEDY
            )
        return pixels_of(picture, kind, data)


def _kind(data: bytes) -> str:
    head = data[:512].lstrip().lower()
    if head.startswith((b"<svg", b"<?xml", b"<!doctype svg")):
        return "is a drawing of lines (SVG), not of pixels"
    if head.startswith(b"%pdf"):
        return "is a PDF document, not a picture"
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"heim", b"hevc"):
        return "is a HEIC photograph, which cannot be read here"
    return "is no picture of a kind that can be read here (PNG, JPEG, WebP, AVIF, TIFF, GIF, BMP)"
