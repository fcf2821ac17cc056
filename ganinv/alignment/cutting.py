"""Cuts a parallelogram out of a photograph, also where it reaches beyond its edges.

Follows FFHQ (Karras et al. 2018, appendix C: mirrored borders that are blurred, bilinear sampling
of four times as many pixels a side; the figures are those of FFHQ's published script), except that
no pixel of the photograph itself is blurred: FFHQ blurs the edge on both sides, but an image that
is pasted back must show what the photograph shows.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganinv.alignment.transform import Corners, Point, sides
from ganinv.errors import DataError
from ganinv.sizes import Size

if TYPE_CHECKING:
    from PIL.Image import Image

_OVERSAMPLED = 4  # samples for each pixel of the image, a side
_LARGEST_SAMPLED = 4096  # samples a side; larger images get fewer for each pixel
# Of the parallelogram's shorter side.
_MARGIN = 0.1
_FADED = 0.3
_BLUR = 0.02  # standard deviation
_LEAST_MARGIN = 3  # pixels
_BLURRED = 3  # the blur is complete at a third of the way to the plain colour


class _Region(NamedTuple):
    """The part of a photograph around a parallelogram."""

    picture: "Image"
    corners: Corners  # in it


def cut(upright: "Image", corners: Corners, size: Size) -> "Image":
    """The parallelogram of an upright RGB photograph, as an image of `size`.

    Where it reaches beyond the photograph, the photograph is mirrored, and fades into its blur and
    further out into the median colour. Raises `DataError` if it lies outside as a whole.
    """
    from PIL.Image import Resampling, Transform

    picture, inner = _region(upright, corners, size)
    finer = max(1, min(_OVERSAMPLED, _LARGEST_SAMPLED // max(size)))
    flat = [value for point in inner for value in point]
    sampled = picture.transform(
        (finer * size.width, finer * size.height), Transform.QUAD, flat, Resampling.BILINEAR
    )
    return sampled.resize(size, Resampling.LANCZOS)


def _region(upright: "Image", corners: Corners, size: Size) -> _Region:
    """The surroundings, reduced so far that the image takes two to four of their pixels a side."""
    from PIL.Image import Resampling

    side = min(sides(corners))
    margin = max(round(_MARGIN * side), _LEAST_MARGIN)
    left, right = _span([point.x for point in corners], margin)
    top, bottom = _span([point.y for point in corners], margin)
    inside = (max(left, 0), max(top, 0), min(right, upright.width), min(bottom, upright.height))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise DataError("the part that is to be cut out lies outside of it")
    kept = upright.crop(inside)
    across, down = sides(corners)
    factor = max(1, math.floor(min(across / size.width, down / size.height) / 2))
    reduced = Size(*(math.ceil(length / factor) for length in kept.size))
    if factor > 1:
        kept, whole = kept.resize(reduced, Resampling.LANCZOS), kept.size
        x_scale, y_scale = reduced.width / whole[0], reduced.height / whole[1]
    else:
        x_scale = y_scale = 1.0
    pads = (
        math.ceil((inside[0] - left) * x_scale),
        math.ceil((inside[1] - top) * y_scale),
        math.ceil((right - inside[2]) * x_scale),
        math.ceil((bottom - inside[3]) * y_scale),
    )
    if any(pads):
        kept = _mirrored(kept, pads, side * min(x_scale, y_scale))
    a, b, c, d = (
        Point((p.x - inside[0]) * x_scale + pads[0], (p.y - inside[1]) * y_scale + pads[1])
        for p in corners
    )
    return _Region(kept, (a, b, c, d))


def _span(values: list[float], margin: int) -> tuple[int, int]:
    return math.floor(min(values)) - margin, math.ceil(max(values)) + margin


def _mirrored(picture: "Image", pads: tuple[int, int, int, int], side: float) -> "Image":
    """The picture with mirrored borders (left, top, right, bottom, in pixels) that fade."""
    from PIL.Image import fromarray
    from PIL.ImageFilter import GaussianBlur

    left, top, right, bottom = pads
    padded = np.pad(np.asarray(picture), ((top, bottom), (left, right), (0, 0)), "reflect")
    blurred = np.asarray(fromarray(padded).filter(GaussianBlur(_BLUR * side)), np.float32)
    far_HW1 = np.maximum(
        _beyond(padded.shape[0], top, bottom, _FADED * side)[:, None],
        _beyond(padded.shape[1], left, right, _FADED * side)[None],
    )[..., None]
    found = padded.astype(np.float32)
    found += (blurred - found) * np.minimum(_BLURRED * far_HW1, 1)
    found += (np.median(padded, axis=(0, 1)) - found) * far_HW1
    return fromarray(found.round().clip(0, 255).astype(np.uint8))


def _beyond(length: int, before: int, after: int, least: float) -> NDArray[np.float32]:
    """How far each pixel lies beyond the photograph: 0 within, 1 at the border's end.

    Over `least` pixels or more, so that narrow borders fade as slowly as wide ones.
    """
    pixels = np.arange(length, dtype=np.float32)
    first = (before - pixels) / max(before, least)
    last = (pixels - (length - 1 - after)) / max(after, least)
    far: NDArray[np.float32] = np.clip(np.maximum(first, last), 0, 1).astype(np.float32)
    return far
