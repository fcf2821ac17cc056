"""Pixels of one kind as another. Shapes: H × W × C pixels, uint8 or uint16.

| from | to | rule |
|---|---|---|
| grey | RGB | the same value in all three channels |
| RGB | grey | 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded |
| opacity | none | drawn on white |
| no opacity | opacity | opaque |
| 8 bits | 16 bits | × 257, so that 255 becomes 65,535 |
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ganinv.kinds.kind import DEEP, Kind, has_opacity

Pixels: TypeAlias = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16

_LUMA = np.array([299, 587, 114])  # of 1,000
_TO_DEEP = 257


def as_kind(pixels_HWC: Pixels, kind: Kind) -> Pixels:
    """The pixels as pixels of `kind`, unchanged if they are of that kind already.

    Pixels of 16 bits are not converted to 8 bits.
    """
    found = _as_channels(pixels_HWC, kind.channels)
    if kind.bits == DEEP and found.dtype == np.uint8:
        return found.astype(np.uint16) * np.uint16(_TO_DEEP)
    assert found.dtype.itemsize * 8 == kind.bits, f"{found.dtype} as {kind}"
    return found


def _as_channels(pixels_HWC: Pixels, channels: int) -> Pixels:
    held = pixels_HWC.shape[2]
    if held == channels:
        return pixels_HWC
    top = np.iinfo(pixels_HWC.dtype).max
    colour: NDArray[Any] = pixels_HWC.astype(np.int64)
    opacity = np.full_like(colour[..., :1], top)
    if has_opacity(held):
        colour, opacity = colour[..., :-1], colour[..., -1:]
        if not has_opacity(channels):
            colour = divided(colour * opacity + top * (top - opacity), top)
    if channels <= 2 and colour.shape[2] == len(_LUMA):
        colour = divided((colour * _LUMA).sum(-1, keepdims=True), int(_LUMA.sum()))
    elif channels > 2 and colour.shape[2] == 1:
        colour = colour.repeat(3, axis=2)
    planes = [colour, opacity] if has_opacity(channels) else [colour]
    return np.concatenate(planes, axis=2).astype(pixels_HWC.dtype)


def divided(value: NDArray[Any], by: NDArray[Any] | int) -> NDArray[Any]:
    """Rounded to the nearest whole number, halves upwards."""
    return (2 * value + by) // (2 * by)
