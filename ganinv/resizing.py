"""Crop, rotate and resize photographs to one size.

Both the building of data sets and models use it, so that a model sees photographs as training did.
Worker processes that decode photographs import this module. So it imports no torch, and Pillow
only once a photograph is at hand.
"""

from typing import TYPE_CHECKING

from ganinv.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def resize_photograph(
    picture: "Image", width: int, height: int, *, stretch: bool = False
) -> "Image":
    """An upright RGB image of `width` × `height` pixels, resampled by Lanczos.

    Keeps the largest centred part that has the shape `width` : `height`; with `stretch`, keeps the
    whole picture and changes its proportions. Transparent parts become white.

    Raises `DataError` for pixels of more than 8 bits per channel. Pillow's errors for corrupt files
    pass through.
    """
    from PIL.Image import Resampling
    from PIL.ImageOps import exif_transpose

    if picture.mode not in EIGHT_BIT_MODES:
        # Reports of builds (`build.json`) hold this text: another wording would change their bytes.
        raise DataError(f"its pixels are {picture.mode}, not 8 bits a channel; convert it before")
    upright = exif_transpose(picture)
    kept = upright if stretch else upright.crop(_centre(*upright.size, width, height))
    return _rgb(kept).resize((width, height), Resampling.LANCZOS)


def _centre(width: int, height: int, to_width: int, to_height: int) -> tuple[int, int, int, int]:
    """The largest centred box of the shape `to_width` : `to_height`, in whole pixels.

    Returns left, top, right and bottom.
    """
    if width * to_height > height * to_width:
        kept_width, kept_height = max(1, height * to_width // to_height), height
    else:
        kept_width, kept_height = width, max(1, width * to_height // to_width)
    left, top = (width - kept_width) // 2, (height - kept_height) // 2
    return left, top, left + kept_width, top + kept_height


def _rgb(picture: "Image") -> "Image":
    """Transparent parts become white, because the colour stored under them is arbitrary."""
    from PIL.Image import alpha_composite, new

    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    white = new("RGBA", picture.size, "white")
    return alpha_composite(white, picture).convert("RGB")
