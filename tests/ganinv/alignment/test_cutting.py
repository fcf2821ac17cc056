"""Cutting: every pixel of the image shows its place in the photograph."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ganinv.alignment.cutting import cut
from ganinv.alignment.quad import face_square
from ganinv.alignment.transform import FACES, Corners, Point, Transform, box_corners, sides
from ganinv.errors import DataError
from ganinv.sizes import Size
from tests.support.marked_faces import landmarks, marks


def ramp(width: int, height: int) -> Image.Image:
    """Red grows to the right and green downwards, from 20 to 235."""
    x, y = np.meshgrid(np.linspace(20, 235, width), np.linspace(20, 235, height))
    return Image.fromarray(np.stack([x, y, 0 * x], axis=2).round().astype(np.uint8))


def expected_ramp(
    corners: Corners, size: Size, photograph: Size
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Red and green at the centre of each pixel, and whether that lies within the photograph."""
    transform = Transform(alignment=FACES, corners=corners, image=size, photograph=photograph)
    x, y = np.meshgrid(np.arange(size.width) + 0.5, np.arange(size.height) + 0.5)
    found = np.stack(transform.to_photograph(Point(x, y)), axis=2)
    # A filter also reaches beyond its pixel.
    reach = 2 * sides(corners)[0] / size.width
    inside = ((found >= reach) & (found <= np.array(photograph) - reach)).all(axis=2)
    return 20 + 215 * (found - 0.5) / (np.array(photograph) - 1), inside


@pytest.mark.parametrize(
    ("size", "eyes_px", "degrees"),
    [(Size(16, 16), 15, 0), (Size(32, 32), 15, 25), (Size(12, 12), 40, -70), (Size(8, 8), 60, 190)],
    ids=["reduced", "turned", "reduced by seven", "head down"],
)
def test_pixels_show_their_places(size: Size, eyes_px: float, degrees: float) -> None:
    photograph = Size(300, 260)
    corners = face_square(landmarks(marks(Point(140, 120), eyes_px, degrees)))
    made = np.asarray(cut(ramp(*photograph), corners, size), np.float64)
    expected, inside = expected_ramp(corners, size, photograph)
    inner = inside.copy()
    inner[[0, -1]] = inner[:, [0, -1]] = False  # a filter ends at the edge of the image
    assert inner.sum() > 0.3 * inside.size
    # Two levels: the ramp is rounded, and Pillow's bilinear sampling rounds down.
    assert np.abs(made[..., :2] - expected)[inner].max() < 2


def test_detail_that_the_image_cannot_hold_becomes_its_mean() -> None:
    """Without filtering, a chessboard of single pixels would give any pattern."""
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    picture = Image.fromarray(np.repeat(board[..., None], 3, axis=2))
    corners = face_square(landmarks(marks(Point(128, 110), 40, 20)))
    made = np.asarray(cut(picture, corners, Size(16, 16)), np.float64)
    assert np.abs(made - 127.5).max() < 4


def test_beyond_the_photograph_lies_its_mirror_image_which_fades() -> None:
    """Nothing within is touched, the border continues it, and far outside is one colour."""
    photograph, size = Size(120, 120), Size(64, 64)
    corners = box_corners(-60, 28, 4, 92)  # all but 4 columns lie outside
    wide = box_corners(-20, 28, 44, 92)
    made = np.asarray(cut(ramp(*photograph), wide, size), np.float64)
    expected, inside = expected_ramp(wide, size, photograph)
    assert np.abs(made[..., :2] - expected)[inside].max() < 1.5
    red = made[:, :20, 0]
    assert np.abs(red[:, 19] - expected[:, 20, 0]).max() < 6  # no seam
    far = np.asarray(cut(ramp(*photograph), corners, size), np.float64)
    assert np.ptp(far[8:-8, :3, 1]) < np.ptp(far[8:-8, 62:, 1]) / 2


def test_what_lies_outside_as_a_whole_is_refused() -> None:
    with pytest.raises(DataError, match="lies outside"):
        cut(ramp(20, 20), box_corners(100, 100, 120, 120), Size(8, 8))


def test_a_photograph_of_one_pixel() -> None:
    made = cut(Image.new("RGB", (1, 1), (9, 99, 199)), box_corners(-3, -3, 4, 4), Size(8, 8))
    assert made.getcolors() == [(64, (9, 99, 199))]
