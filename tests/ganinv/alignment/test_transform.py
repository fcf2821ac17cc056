"""Where images lie in photographs: both directions, and as JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganinv.alignment.transform import FACES, Point, Transform, box_corners
from ganinv.errors import DataError
from ganinv.sizes import Size

coordinates = st.floats(-1e4, 1e4)
points = st.builds(Point, coordinates, coordinates)
lengths = st.integers(1, 4096)


@st.composite
def transforms(draw: st.DrawFn) -> Transform:
    """Rectangles at any place, turned by any angle."""
    origin, angle = draw(points), draw(st.floats(0, 2 * math.pi))
    across, down = draw(st.floats(1, 5e3)), draw(st.floats(1, 5e3))
    c, s = math.cos(angle), math.sin(angle)
    x, y = Point(across * c, across * s), Point(-down * s, down * c)
    return Transform(
        alignment=FACES,
        corners=(
            origin,
            Point(origin.x + y.x, origin.y + y.y),
            Point(origin.x + x.x + y.x, origin.y + x.y + y.y),
            Point(origin.x + x.x, origin.y + x.y),
        ),
        image=Size(draw(st.integers(1, 256)), draw(st.integers(1, 256))),
        photograph=Size(draw(lengths), draw(lengths)),
    )


@settings(max_examples=30)
@given(transforms(), points)
def test_there_and_back(transform: Transform, place: Point) -> None:
    there = transform.to_photograph(place)
    np.testing.assert_allclose(transform.to_image(there), place, atol=1e-4)


@settings(max_examples=30)
@given(transforms())
def test_the_corners_of_the_image_are_the_corners_in_the_photograph(transform: Transform) -> None:
    width, height = transform.image
    own = [Point(0, 0), Point(0, height), Point(width, height), Point(width, 0)]
    found = [transform.to_photograph(point) for point in own]
    np.testing.assert_allclose(found, transform.corners, atol=1e-6)


@settings(max_examples=30)
@given(transforms())
def test_json_keeps_everything(transform: Transform) -> None:
    assert Transform.from_json(transform.to_json(), "t.json") == transform


def plain() -> dict[str, object]:
    return Transform(
        alignment=FACES,
        corners=box_corners(1, 2, 11, 22),
        image=Size(4, 8),
        photograph=Size(30, 40),
    ).plain()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"corners": [[0, 0], [0, 9], [9, 9], [8, 1]]}, "no parallelogram"),
        ({"corners": [[0, 0], [0, 9], [0, 9], [0, 0]]}, "enclose no pixel"),
        ({"corners": [[0, 0], [0, 9], [float("nan"), 9], [9, 0]]}, "no parallelogram"),
        ({"corners": [[0, 0]]}, "no transform"),
        ({"corners": None}, "no transform"),
        ({"image": [0, 4]}, "need pixels"),
        ({"image": [4]}, "no transform"),
        ({"photograph": [1, "x"]}, "no transform"),
        ({"alignment": "eyes"}, "none of crop, stretch, pad, faces"),
        ({"more": 1}, "needs the keys"),
    ],
)
def test_what_is_no_transform_is_refused_with_its_name(
    change: dict[str, object], says: str
) -> None:
    with pytest.raises(DataError, match=f"t.json: .*{says}"):
        Transform.from_json(json.dumps(plain() | change), "t.json")


@pytest.mark.parametrize("text", ["", "[", "[]", "null", "\x00"])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"t\.json: is no"):
        Transform.from_json(text, "t.json")
