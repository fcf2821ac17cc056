"""Photographs as squares of one size: what data sets are built of, and what models take.

Light on purpose: the processes that decode photographs in parallel import it, and neither torch
nor, before it is needed, Pillow.
"""

from typing import TYPE_CHECKING

from ganinv.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def prepare(picture: "Image", resolution: int) -> "Image":
    """Turned upright, its central square, RGB on white, resized to `resolution` by Lanczos.

    Raises `DataError` for deeper pixels than bytes, and what Pillow raises for damaged files.
    """
    from PIL.Image import Resampling
    from PIL.ImageOps import exif_transpose

    if picture.mode not in EIGHT_BIT_MODES:
        raise DataError(f"its pixels are {picture.mode}, not 8 bits a channel; convert it before")
    square = _rgb(_centre(exif_transpose(picture)))
    return square.resize((resolution, resolution), Resampling.LANCZOS)


def _centre(picture: "Image") -> "Image":
    """The largest square in the middle."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def _rgb(picture: "Image") -> "Image":
    """Transparent parts become white: the colour stored under them is arbitrary."""
    from PIL.Image import alpha_composite, new

    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    white = new("RGBA", picture.size, "white")
    return alpha_composite(white, picture).convert("RGB")
