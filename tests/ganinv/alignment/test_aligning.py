"""Crop, stretch and pad: the transform says which places of the photograph the image shows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from ganinv.alignment.aligning import align
from ganinv.alignment.transform import CROP, PAD, STRETCH, Point
from ganinv.pixels import upright_rgb
from ganinv.resizing import pad_photograph
from ganinv.sizes import Size

lengths = st.integers(1, 60)
sizes = st.builds(Size, lengths, lengths)


def ramp(width: int, height: int) -> Image.Image:
    """Red is 40 and 4 more per pixel to the right, green the same downwards."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([40 + 3 * x, 40 + 3 * y, 0 * x], axis=2).astype(np.uint8))


@settings(max_examples=30)
@given(sizes, sizes, st.sampled_from([CROP, STRETCH, PAD]))
def test_the_middle_of_the_image_shows_its_place(whole: Size, size: Size, alignment: str) -> None:
    picture, transform = align(ramp(*whole), size, alignment)
    assert transform.photograph == whole
    pixels = np.asarray(picture, float)
    shown = pixels[..., 0] >= 30  # not the black border
    y, x = (places.mean() + 0.5 for places in np.nonzero(shown))
    expected = transform.to_photograph(Point(x, y))
    found = (pixels[shown][:, :2].mean(axis=0) - 40) / 3 + 0.5
    np.testing.assert_allclose(found, expected, atol=0.5)


@settings(max_examples=30)
@given(sizes, sizes)
def test_padding_keeps_proportions_as_pillow_does(whole: Size, size: Size) -> None:
    expected = ramp(*whole)
    if whole.width > size.width or whole.height > size.height:
        expected = ImageOps.contain(expected, size, Image.Resampling.LANCZOS)
    if min(expected.size) == 0:
        return  # Pillow leaves nothing of it, and we leave a pixel
    made = np.asarray(pad_photograph(ramp(*whole), *size))
    left, top = (size.width - expected.width) // 2, (size.height - expected.height) // 2
    inner = made[top : top + expected.height, left : left + expected.width]
    assert np.array_equal(inner, np.asarray(expected))
    assert made.astype(int).sum() == np.asarray(expected).astype(int).sum()  # black around it


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_upright_picture_is_not_turned_once_more(orientation: int) -> None:
    picture = ramp(12, 7)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.info["exif"] = exif.tobytes()
    once = upright_rgb(picture)
    assert np.array_equal(np.asarray(upright_rgb(once)), np.asarray(once))
