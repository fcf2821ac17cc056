"""Crop, pad and resize photographs to one size.

Both the building of data sets and models use it, so that a model sees photographs as training did.
Worker processes that decode photographs import this module. So it imports no torch, and Pillow
only once a photograph is at hand.
"""

from typing import TYPE_CHECKING

from ganinv.pixels import upright_rgb

if TYPE_CHECKING:
    from PIL.Image import Image


def resize_photograph(
    picture: "Image", width: int, height: int, *, stretch: bool = False
) -> "Image":
    """An upright RGB image of `width` × `height` pixels, resampled by Lanczos.

    Keeps the largest centred part that has the shape `width` : `height`; with `stretch`, keeps the
    whole picture and changes its proportions. Its pixels are those of `ganinv.pixels`.

    Raises what `upright_rgb` raises.
    """
    from PIL.Image import Resampling

    upright = upright_rgb(picture)
    kept = upright if stretch else upright.crop(_centre(*upright.size, width, height))
    return kept.resize((width, height), Resampling.LANCZOS)


def pad_photograph(picture: "Image", width: int, height: int) -> "Image":
    """An upright RGB image of `width` × `height` pixels: the whole picture, centred on black.

    A picture that fits keeps its pixels; a larger one is reduced by Lanczos, in its proportions.

    Raises what `upright_rgb` raises.
    """
    from PIL.Image import Resampling
    from PIL.ImageOps import contain, expand

    upright = upright_rgb(picture)
    if upright.width > width or upright.height > height:
        upright = contain(upright, (width, height), Resampling.LANCZOS)
    right, below = width - upright.width, height - upright.height
    left, above = right // 2, below // 2
    return expand(upright, (left, above, right - left, below - above))


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
