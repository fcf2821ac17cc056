"""Drawn photographs whose faces are three discs, for tests that need no detector.

The centres of a red disc, a green disc and a blue disc stand for the left eye, the right eye and
the mouth of the picture.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganinv.alignment.landmarks import NoFaceError
from ganinv.alignment.quad import LANDMARKS
from ganinv.alignment.transform import Point

MARKS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
Marks = tuple[Point, Point, Point]


def marks(centre: Point, eyes_px: float, degrees: float = 0.0) -> Marks:
    """Two eyes around the centre and a mouth as far below it, turned to the right."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    half = eyes_px / 2
    return (
        Point(centre.x - half * c, centre.y - half * s),
        Point(centre.x + half * c, centre.y + half * s),
        Point(centre.x - eyes_px * s, centre.y + eyes_px * c),
    )


def landmarks(face: Marks) -> list[Point]:
    """68 landmarks whose eyes and mouth have these centres."""
    left, right, mouth = face
    found = [Point(0, 0)] * LANDMARKS
    found[36:42] = [Point(left.x + dx, left.y + dx / 2) for dx in (-3, -1, 0, 0, 1, 3)]
    found[42:48] = [Point(right.x + dx, right.y - dx) for dx in (-2, -1, 0, 0, 1, 2)]
    found[48], found[54] = Point(mouth.x - 4, mouth.y + 1), Point(mouth.x + 4, mouth.y - 1)
    return found


def photograph(
    size: tuple[int, int], face: Marks | None = None, radius: float = 3.0
) -> Image.Image:
    """A smooth grey picture, with the discs of a face."""
    y, x = np.mgrid[: size[1], : size[0]] + 0.5
    grey = 110 + 60 * np.sin(2 * np.pi * x / size[0]) * np.cos(2 * np.pi * y / size[1])
    pixels: NDArray[np.uint8] = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    for centre, colour in zip(face or (), MARKS, strict=False):
        pixels[(x - centre.x) ** 2 + (y - centre.y) ** 2 <= radius**2] = colour
    return Image.fromarray(pixels)


def find_marks(upright: Image.Image) -> list[Point]:
    """In place of `ganinv.alignment.landmarks.find_landmarks`."""
    return landmarks(_centres(np.asarray(upright)))


def _centres(pixels: NDArray[np.uint8]) -> Marks:
    found: Sequence[tuple[NDArray[np.intp], ...]] = [
        np.nonzero((pixels == np.array(colour)).all(axis=2)) for colour in MARKS
    ]
    if not all(len(rows) for rows, _ in found):
        raise NoFaceError("no face found that looks into the camera")
    a, b, c = (Point(columns.mean() + 0.5, rows.mean() + 0.5) for rows, columns in found)
    return a, b, c
