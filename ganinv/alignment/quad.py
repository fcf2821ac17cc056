"""The square of a face, as FFHQ aligns photographs.

Karras et al. 2018 (arXiv 1710.10196, appendix C) define it for CelebA-HQ, and Karras et al. 2019
(arXiv 1812.04948, appendix A) align FFHQ in the same way, by dlib's 68 landmarks. With the centres
of the eyes e₀, e₁ and the corners of the mouth m₀, m₁:

    x' = e₁ − e₀,   y' = ½(e₀ + e₁) − ½(m₀ + m₁)
    c = ½(e₀ + e₁) − 0.1 y',   s = max(4.0 |x'|, 3.6 |y'|)
    x = normalised x' − rotate90(y'),   y = rotate90(x)

The square has its centre in c, sides of s, and the axes x and y. The papers give the landmarks of
CelebA; that an eye is the mean of its six landmarks, and which landmarks end the mouth, follows
FFHQ's published script.
"""

import math
from collections.abc import Sequence

from ganinv.alignment.transform import Corners, Point
from ganinv.errors import DataError

LANDMARKS = 68
# Indices of dlib's landmarks. Left and right are those of the picture.
_LEFT_EYE, _RIGHT_EYE = range(36, 42), range(42, 48)
_LEFT_MOUTH, _RIGHT_MOUTH = 48, 54
# Of the formulas above.
_BY_EYES, _BY_MOUTH = 4.0, 3.6
_TOWARDS_MOUTH = 0.1


def face_square(landmarks: Sequence[Point]) -> Corners:
    """The corners of the square of a face, from its 68 landmarks, in pixels.

    Raises `DataError` for landmarks that span no square.
    """
    left, right = (_mean([landmarks[i] for i in eye]) for eye in (_LEFT_EYE, _RIGHT_EYE))
    eyes = _mean([left, right])
    mouth = _mean([landmarks[_LEFT_MOUTH], landmarks[_RIGHT_MOUTH]])
    across = Point(right.x - left.x, right.y - left.y)  # x'
    downwards = Point(mouth.x - eyes.x, mouth.y - eyes.y)  # −y'
    # The direction to the mouth, turned by a quarter to the direction of the eyes.
    x, y = across.x + downwards.y, across.y - downwards.x
    length = _length(x, y)
    side = max(_BY_EYES * _length(*across), _BY_MOUTH * _length(*downwards))
    if not length > 0:
        raise DataError("the landmarks of its face span no square")
    half_x, half_y = x / length * side / 2, y / length * side / 2
    centre = Point(
        eyes.x + _TOWARDS_MOUTH * downwards.x,
        eyes.y + _TOWARDS_MOUTH * downwards.y,
    )
    return (
        Point(centre.x - half_x + half_y, centre.y - half_y - half_x),
        Point(centre.x - half_x - half_y, centre.y - half_y + half_x),
        Point(centre.x + half_x - half_y, centre.y + half_y + half_x),
        Point(centre.x + half_x + half_y, centre.y + half_y - half_x),
    )


def centred_part(corners: Corners, width: int, height: int) -> Corners:
    """The largest centred part of a square that has the shape `width` : `height`."""
    across, down = min(1.0, width / height), min(1.0, height / width)
    a, b, c, d = corners

    def at(x: float, y: float) -> Point:
        """x and y from 0 at the top left corner to 1."""
        return Point(
            a.x + x * (d.x - a.x) + y * (b.x - a.x), a.y + x * (d.y - a.y) + y * (b.y - a.y)
        )

    left, top = (1 - across) / 2, (1 - down) / 2
    if (across, down) == (1.0, 1.0):
        return a, b, c, d
    return at(left, top), at(left, 1 - top), at(1 - left, 1 - top), at(1 - left, top)


def _mean(points: Sequence[Point]) -> Point:
    return Point(sum(p.x for p in points) / len(points), sum(p.y for p in points) / len(points))


def _length(x: float, y: float) -> float:
    return math.sqrt(x * x + y * y)  # exactly rounded, so equal on all machines; hypot is not
