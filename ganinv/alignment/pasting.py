"""Pastes an edited image back into the photograph that it was cut out of."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ganinv.alignment.transform import PAD, Point, Transform, box_corners, sides
from ganinv.errors import DataError
from ganinv.pixels import upright_rgb
from ganinv.sizes import Size

if TYPE_CHECKING:
    from PIL.Image import Image

FEATHER = 0.1  # of the image's shorter side


def paste(
    photograph: "Image", edited: "Image", transform: Transform, feather: float = FEATHER
) -> "Image":
    """The photograph, upright, with the edited image at the place where `transform` cut it out.

    The image counts fully except near its own edge, where it fades into the photograph over
    `feather` (0–0.5) of its shorter side. Every pixel outside of it stays as it is.

    Raises `DataError` for a photograph or an image of another size than the transform's, and what
    `ganinv.pixels.upright_rgb` raises.
    """
    from PIL.Image import Resampling
    from PIL.Image import Transform as Kind

    if not 0 <= feather <= 0.5:
        raise DataError(f"feather = {feather}: must lie within 0–0.5")
    whole, image = upright_rgb(photograph), upright_rgb(edited)
    for what, found, expected in (
        ("photograph", whole.size, transform.photograph),
        ("edited image", image.size, transform.image),
    ):
        if found != tuple(expected):
            raise DataError(
                f"the {what} has {found[0]} × {found[1]} pixels, but the transform is one of "
                f"{expected.width} × {expected.height}; take the files that belong together"
            )
    if transform.alignment == PAD:
        image, transform = _without_border(image, transform)
    image = _reduced(image, transform)
    left, top, right, bottom = _bounds(transform)
    pasted = whole.copy()
    if left >= right or top >= bottom:
        return pasted  # the image lies beyond the photograph
    size, inverse = (right - left, bottom - top), _inverse(transform, image.size, left, top)
    patch = image.transform(size, Kind.AFFINE, inverse, Resampling.BICUBIC)
    mask = _mask(image.size, feather).transform(size, Kind.AFFINE, inverse, Resampling.BILINEAR)
    pasted.paste(patch, (left, top), mask)
    return pasted


def _without_border(image: "Image", transform: Transform) -> tuple["Image", Transform]:
    """The part of a padded image that shows the photograph, or else its border would bleed."""
    corners = box_corners(0, 0, *transform.photograph)
    (left, top), _, (right, bottom), _ = map(transform.to_image, corners)
    box = (round(left), round(top), round(right), round(bottom))
    shown = image.crop(box)
    return shown, replace(transform, corners=corners, image=Size(*shown.size))


def _reduced(image: "Image", transform: Transform) -> "Image":
    """The image without detail that the photograph has too few pixels for."""
    from PIL.Image import Resampling

    width, height = (max(1, math.ceil(length)) for length in sides(transform.corners))
    size = min(image.width, width), min(image.height, height)
    return image if size == image.size else image.resize(size, Resampling.LANCZOS)


def _bounds(transform: Transform) -> tuple[int, int, int, int]:
    """The part of the photograph that holds the image: left, top, right, bottom in pixels."""
    xs, ys = zip(*transform.corners, strict=True)
    width, height = transform.photograph
    return (
        max(0, math.floor(min(xs))),
        max(0, math.floor(min(ys))),
        min(width, math.ceil(max(xs))),
        min(height, math.ceil(max(ys))),
    )


def _inverse(
    transform: Transform, size: tuple[int, int], left: int, top: int
) -> tuple[float, float, float, float, float, float]:
    """Pillow's coefficients: from the part that begins at `left`, `top` to an image of `size`."""
    x_scale, y_scale = size[0] / transform.image.width, size[1] / transform.image.height
    origin, right, below = (
        transform.to_image(Point(left + x, top + y)) for x, y in ((0, 0), (1, 0), (0, 1))
    )
    return (
        (right.x - origin.x) * x_scale,
        (below.x - origin.x) * x_scale,
        origin.x * x_scale,
        (right.y - origin.y) * y_scale,
        (below.y - origin.y) * y_scale,
        origin.y * y_scale,
    )


def _mask(size: tuple[int, int], feather: float) -> "Image":
    """How much the image counts, 0–255: 0 at its outermost pixels, then rising smoothly."""
    from PIL.Image import fromarray

    width, height = size
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    inwards_HW = np.minimum(
        np.minimum(x, width - 1 - x)[None], np.minimum(y, height - 1 - y)[:, None]
    )
    share_HW = np.clip(inwards_HW / max(feather * min(size), 1), 0, 1)
    smooth_HW = share_HW * share_HW * (3 - 2 * share_HW)
    return fromarray((255 * smooth_HW).round().astype(np.uint8))
