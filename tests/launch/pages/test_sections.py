"""Small images get into the page exactly, large ones at a bounded size."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from launch.pages.sections import EXACT_PX, STORED_PX, Images, decibels, image_url, shown_px, signed
from tests.support.pages import URL


def decoded(image_HWC: Images) -> Image.Image:
    url = image_url(image_HWC)
    assert url.startswith(URL)
    return Image.open(io.BytesIO(base64.b64decode(url.removeprefix(URL))))


@pytest.mark.parametrize(("channels", "mode"), [(1, "RGB"), (2, "RGBA"), (3, "RGB"), (4, "RGBA")])
def test_small_images_of_any_channels_are_exact(channels: int, mode: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, EXACT_PX, channels), dtype=np.uint8)
    grey = channels < 3
    colours = np.repeat(image[..., :1], 3, axis=-1) if grey else image[..., :3]
    found = decoded(image)
    assert found.mode == mode
    np.testing.assert_array_equal(np.asarray(found)[..., :3], colours)
    if mode == "RGBA":
        np.testing.assert_array_equal(np.asarray(found)[..., 3], image[..., -1])


@pytest.mark.parametrize("px", [EXACT_PX + 1, STORED_PX, 2 * STORED_PX])
def test_large_images_stay_alike_and_never_larger_than_their_place_needs(px: int) -> None:
    y, x = np.mgrid[0:px, 0:px] / px
    smooth = np.stack([x, y, 0.5 + 0.5 * np.sin(6 * x * y)], axis=-1)
    image = (255 * smooth).astype(np.uint8)
    found = decoded(image)
    assert found.size == (min(px, STORED_PX),) * 2
    expected = np.asarray(Image.fromarray(image).resize(found.size, Image.Resampling.LANCZOS), "f8")
    assert np.abs(np.asarray(found, "f8") - expected).mean() < 2
    # 300 photographs of a page at 50 kB each are the 15 MB that a page may have.
    assert len(image_url(image)) < 50_000


@pytest.mark.parametrize(
    ("native", "columns", "shown"),
    [(16, 8, 128), (32, 8, 128), (32, 11, 96), (48, 8, 96), (256, 8, 128), (256, 30, 64)],
)
def test_images_are_shown_at_a_whole_multiple_where_there_is_room(
    native: int, columns: int, shown: int
) -> None:
    assert shown_px(native, columns, 6) == shown


def test_words_for_numbers() -> None:
    assert [decibels(v) for v in (19.32, math.nan, math.inf)] == ["19.3 dB", "", "∞ dB"]
    assert [signed(v) for v in (-1.5, 0.0, 2.0)] == ["−1.5", "0", "+2"]
