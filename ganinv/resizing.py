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
    kept = upright if stretch else upright.crop(centred_box(upright.size, (width, height)))
    return kept.resize((width, height), Resampling.LANCZOS)


def pad_photograph(picture: "Image", width: int, height: int) -> "Image":
    """An upright RGB image of `width` × `height` pixels: the whole picture, centred on black.

    A picture that fits keeps its pixels; a larger one is reduced by Lanczos, in its proportions.

    Raises what `upright_rgb` raises.
    """
    from PIL.Image import Resampling
    from PIL.ImageOps import expand

    upright = upright_rgb(picture)
    left, above, kept_width, kept_height = within(upright.size, (width, height))
    if (kept_width, kept_height) != upright.size:
        upright = upright.resize((kept_width, kept_height), Resampling.LANCZOS)
    border = (left, above, width - kept_width - left, height - kept_height - above)
    return expand(upright, border)


def padded_box(
    size: tuple[int, int], to_size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """What `pad_photograph` shows of a picture of `size`, in its pixels.

    Returns left, top, right and bottom; they lie beyond the picture where the image is black.
    """
    left, above, kept_width, kept_height = within(size, to_size)
    across, down = size[0] / kept_width, size[1] / kept_height
    return (
        -left * across,
        -above * down,
        (to_size[0] - left) * across,
        (to_size[1] - above) * down,
    )


def within(size: tuple[int, int], to_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where a picture lies in an image that holds it whole: left, top, width and height.

    A picture that fits keeps its size; a larger one is reduced in its proportions.
    """
    (width, height), (to_width, to_height) = size, to_size
    if width > to_width or height > to_height:
        if width * to_height > height * to_width:
            width, height = to_width, max(1, round(height / width * to_width))
        else:
            width, height = max(1, round(width / height * to_height)), to_height
    return (to_width - width) // 2, (to_height - height) // 2, width, height


def centred_box(size: tuple[int, int], to_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest centred box of the shape of `to_size`, in whole pixels of a picture of `size`.

    Returns left, top, right and bottom.
    """
    (width, height), (to_width, to_height) = size, to_size
    if width * to_height > height * to_width:
        kept_width, kept_height = max(1, height * to_width // to_height), height
    else:
        kept_width, kept_height = width, max(1, width * to_height // to_width)
    left, top = (width - kept_width) // 2, (height - kept_height) // 2
    return left, top, left + kept_width, top + kept_height
