"""The square of a face: the formulas of CelebA-HQ and FFHQ, computed in another way."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ganinv.alignment.quad import centred_part, face_square
from ganinv.alignment.transform import Corners, Point, box_corners, sides
from ganinv.errors import DataError
from tests.support.marked_faces import landmarks, marks

coordinates = st.integers(-500, 500)
places = st.builds(Point, coordinates, coordinates)


def square(left: Point, right: Point, mouth: Point) -> NDArray[np.float64]:
    """Karras et al. 2018, appendix C, on complex numbers, whose imaginary part points upwards."""
    e0, e1, m = (complex(p.x, -p.y) for p in (left, right, mouth))
    across, up = e1 - e0, (e0 + e1) / 2 - m
    centre = (e0 + e1) / 2 - 0.1 * up
    side = max(4.0 * abs(across), 3.6 * abs(up))
    x = across - 1j * up
    x *= side / 2 / abs(x)
    y = 1j * x
    corners = np.array([centre - x + y, centre - x - y, centre + x - y, centre + x + y])
    return np.stack([corners.real, -corners.imag], axis=1)


@settings(max_examples=30)
@given(places, places, places)
def test_the_square_is_that_of_the_paper(left: Point, right: Point, mouth: Point) -> None:
    eyes = Point((left.x + right.x) / 2, (left.y + right.y) / 2)
    down = (mouth.x - eyes.x, mouth.y - eyes.y)
    assume(math.hypot(right.x - left.x + down[1], right.y - left.y - down[0]) > 1)
    found = face_square(landmarks((left, right, mouth)))
    np.testing.assert_allclose(found, square(left, right, mouth), atol=1e-6)


def test_a_square_by_hand() -> None:
    """Eyes 10 apart, the mouth 12 below: 3.6 · 12 is more than 4 · 10."""
    face = (Point(20, 30), Point(30, 30), Point(25, 42))
    expected = box_corners(25 - 21.6, 31.2 - 21.6, 25 + 21.6, 31.2 + 21.6)
    np.testing.assert_allclose(face_square(landmarks(face)), expected)


@settings(max_examples=30)
@given(st.floats(-180, 180), st.floats(2, 300), st.builds(Point, coordinates, coordinates))
def test_a_face_that_is_turned_moved_or_larger_turns_moves_and_enlarges_its_square(
    degrees: float, eyes_px: float, centre: Point
) -> None:
    plain: Corners = face_square(landmarks(marks(Point(0, 0), 1.0)))
    made = face_square(landmarks(marks(centre, eyes_px, degrees)))
    turn = np.exp(1j * math.radians(degrees)) * eyes_px
    expected = np.array([complex(*p) for p in plain]) * turn + complex(*centre)
    np.testing.assert_allclose([complex(*p) for p in made], expected, atol=1e-6)


def test_landmarks_in_one_point_span_no_square() -> None:
    with pytest.raises(DataError, match="span no square"):
        face_square([Point(3, 3)] * 68)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (128, 96), (48, 64)])
def test_images_of_other_shapes_show_the_centre_of_the_square(width: int, height: int) -> None:
    whole = face_square(landmarks(marks(Point(50, 40), 20, degrees=30)))
    part = centred_part(whole, width, height)
    across, down = sides(part)
    assert across / down == pytest.approx(width / height)
    assert max(across, down) == pytest.approx(sides(whole)[0])
    np.testing.assert_allclose(np.mean(part, axis=0), np.mean(whole, axis=0))
    first, second = (complex(*np.subtract(c[3], c[0])) for c in (part, whole))
    assert np.angle(first / second) == pytest.approx(0, abs=1e-9)
