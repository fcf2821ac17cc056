"""Photographs as images of one size, mostly squares: what data sets and models are made of.

Light on purpose: the processes that decode photographs in parallel import it, and neither torch
nor, before it is needed, Pillow.
"""

from typing import TYPE_CHECKING

from ganinv.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def prepare(picture: "Image", width: int, height: int, *, stretch: bool = False) -> "Image":
    """Turned upright, RGB on white, `width` × `height` pixels by Lanczos.

    The largest centred part of that shape is kept or, if it is to `stretch`, all of the picture
    out of shape. Raises `DataError` for deeper pixels than bytes, and what Pillow raises for
    damaged files.
    """
    from PIL.Image import Resampling
    from PIL.ImageOps import exif_transpose

    if picture.mode not in EIGHT_BIT_MODES:
        raise DataError(f"its pixels are {picture.mode}, not 8 bits a channel; convert it before")
    upright = exif_transpose(picture)
    kept = upright if stretch else upright.crop(_centre(*upright.size, width, height))
    return _rgb(kept).resize((width, height), Resampling.LANCZOS)


def _centre(width: int, height: int, to_width: int, to_height: int) -> tuple[int, int, int, int]:
    """The largest centred box of the other's shape: left, top, right, bottom, in whole pixels."""
    if width * to_height > height * to_width:
        kept_width, kept_height = max(1, height * to_width // to_height), height
    else:
        kept_width, kept_height = width, max(1, width * to_height // to_width)
    left, top = (width - kept_width) // 2, (height - kept_height) // 2
    return left, top, left + kept_width, top + kept_height


def _rgb(picture: "Image") -> "Image":
    """Transparent parts become white: the colour stored under them is arbitrary."""
    from PIL.Image import alpha_composite, new

    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    white = new("RGBA", picture.size, "white")
    return alpha_composite(white, picture).convert("RGB")
