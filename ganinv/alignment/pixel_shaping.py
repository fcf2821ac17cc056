"""Crops, stretches and pads pixels of any kind, as `ganinv.resizing` does RGB of 8 bits.

Pixels are resampled by Lanczos in float32, each channel by itself, and rounded once. Colours are
multiplied by the opacity for that, so that the colour of transparent pixels does not count; where
the result is transparent, its colour is 0. Pixels that keep their size keep their values.
Shapes: H × W × C pixels, uint8 or uint16.
"""

import numpy as np

from ganinv.alignment.transform import PAD, STRETCH
from ganinv.kinds.converting import Pixels
from ganinv.kinds.kind import has_opacity
from ganinv.resizing import centred_box, padded_box, within
from ganinv.sizes import Size

Box = tuple[float, float, float, float]  # left, top, right, bottom


def shaped(pixels_HWC: Pixels, size: Size, alignment: str) -> tuple[Pixels, Box]:
    """The pixels as an image of `size`, and what it shows, in the given pixels.

    `alignment`: `crop`, `stretch` or `pad`, as `align` says; padding is 0: black, or transparent.
    """
    height, width = pixels_HWC.shape[:2]
    whole = Size(width, height)
    if alignment == PAD:
        return _padded(pixels_HWC, size), padded_box(whole, size)
    box = (0, 0, width, height) if alignment == STRETCH else centred_box(whole, size)
    left, top, right, bottom = box
    return resampled(pixels_HWC[top:bottom, left:right], size), box


def resampled(pixels_HWC: Pixels, size: Size) -> Pixels:
    """The whole of the pixels in another size."""
    from PIL.Image import Resampling, fromarray

    if pixels_HWC.shape[:2] == (size.height, size.width):
        return np.ascontiguousarray(pixels_HWC)
    top = np.iinfo(pixels_HWC.dtype).max
    value_HWC = pixels_HWC.astype(np.float32)
    opaque = has_opacity(value_HWC.shape[2])
    if opaque:
        value_HWC[..., :-1] *= value_HWC[..., -1:] / top
    planes = (np.ascontiguousarray(plane_HW) for plane_HW in np.moveaxis(value_HWC, 2, 0))
    resized = [np.asarray(fromarray(p).resize(size, Resampling.LANCZOS)) for p in planes]
    value_HWC = np.stack(resized, axis=2)
    if opaque:
        opacity_HW1 = value_HWC[..., -1:].round().clip(0, top)
        colour_HWC, shown = value_HWC[..., :-1] * top, opacity_HW1 > 0
        value_HWC[..., :-1] = np.divide(
            colour_HWC, opacity_HW1, out=np.zeros_like(colour_HWC), where=shown
        )
    found: Pixels = value_HWC.round().clip(0, top).astype(pixels_HWC.dtype)
    return found


def _padded(pixels_HWC: Pixels, size: Size) -> Pixels:
    height, width = pixels_HWC.shape[:2]
    left, above, kept_width, kept_height = within((width, height), size)
    kept_HWC = resampled(pixels_HWC, Size(kept_width, kept_height))
    below, right = size.height - kept_height - above, size.width - kept_width - left
    return np.pad(kept_HWC, ((above, below), (left, right), (0, 0)))
