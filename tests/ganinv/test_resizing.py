"""Resizing: photographs of any shape reach the requested size, cropped or stretched."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganinv.resizing import resize_photograph

sides = st.integers(1, 40)


def ramp(width: int, height: int) -> Image.Image:
    """Red grows by 6 per pixel to the right, green by 6 per pixel downwards."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([6 * x, 6 * y, 0 * x], axis=2).astype(np.uint8))


@given(sides, sides, sides, sides)
def test_the_largest_centred_part_of_the_shape_is_kept(
    w: int, h: int, to_w: int, to_h: int
) -> None:
    scale = min(w / to_w, h / to_h)  # of the exact part, which need not be whole pixels
    made = resize_photograph(ramp(w, h), to_w, to_h)
    assert made.size == (to_w, to_h)
    x, y, _ = np.asarray(made, float).mean(axis=(0, 1)) / 6
    # Rounding to whole pixels moves the part by at most half a pixel, Lanczos at the edges by less.
    assert abs(x - (w - 1) / 2) <= 1
    assert abs(y - (h - 1) / 2) <= 1
    across = np.ptp(np.asarray(made, float)[..., 0]) / 6
    assert across <= max(1.0, scale * to_w)


@given(sides, sides, sides, sides)
def test_stretching_keeps_the_whole_picture(w: int, h: int, to_w: int, to_h: int) -> None:
    picture = ramp(w, h)
    made = resize_photograph(picture, to_w, to_h, stretch=True)
    expected = picture.resize((to_w, to_h), Image.Resampling.LANCZOS)
    assert np.array_equal(np.asarray(made), np.asarray(expected))
