"""Where an image lies in the photograph that it was cut out of.

A place in a photograph or an image is continuous: its pixel (0, 0) covers the square from (0, 0) to
(1, 1), x to the right, y downwards.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from ganinv.errors import DataError
from ganinv.sizes import Size

# How photographs come to the size of a model's images, see `aligning.align`.
CROP, STRETCH, PAD, FACES = ALIGNMENTS = ("crop", "stretch", "pad", "faces")
_KEYS = ("alignment", "corners", "image", "photograph")
_SLACK = 1e-6  # of the sides: how far the fourth corner may lie from that of a parallelogram


class Point(NamedTuple):
    """A place, in pixels."""

    x: float
    y: float


# Top left, bottom left, bottom right and top right of an image.
Corners: TypeAlias = tuple[Point, Point, Point, Point]


def box_corners(left: float, top: float, right: float, bottom: float) -> Corners:
    """The corners of an upright rectangle."""
    return Point(left, top), Point(left, bottom), Point(right, bottom), Point(right, top)


def sides(corners: Corners) -> tuple[float, float]:
    """The lengths of the upper and of the left side, in pixels."""
    top_left, bottom_left, _, top_right = corners
    return math.dist(top_left, top_right), math.dist(top_left, bottom_left)


@dataclass(frozen=True, kw_only=True, slots=True)
class Transform:
    """An image is the parallelogram `corners` of a photograph, resampled to its own size.

    Raises `DataError` for corners of no parallelogram and for sizes without pixels.
    """

    alignment: str
    """How the corners were chosen, one of `ALIGNMENTS`."""
    corners: Corners
    """In the photograph after it was turned upright (EXIF); they may lie beyond its edges."""
    image: Size
    photograph: Size
    """Upright."""

    def __post_init__(self) -> None:
        if self.alignment not in ALIGNMENTS:
            raise DataError(f"alignment = {self.alignment!r}: is none of {', '.join(ALIGNMENTS)}")
        if min(*self.image, *self.photograph) < 1:
            raise DataError(f"{self.photograph} to {self.image}: images need pixels")
        flat = [value for point in self.corners for value in point]
        width, height = sides(self.corners)
        a, b, c, d = self.corners
        off = math.hypot(a.x + c.x - b.x - d.x, a.y + c.y - b.y - d.y)
        if not (all(map(math.isfinite, flat)) and off <= _SLACK * (width + height)):
            raise DataError(f"corners = {flat}: are those of no parallelogram")
        if abs(self._determinant) <= _SLACK:
            raise DataError(f"corners = {flat}: enclose no pixel")

    @property
    def _axes(self) -> tuple[Point, Point]:
        """How far one pixel of the image to the right, and one downwards, is in the photograph."""
        a, b, _, d = self.corners
        width, height = self.image
        right = Point((d.x - a.x) / width, (d.y - a.y) / width)
        return right, Point((b.x - a.x) / height, (b.y - a.y) / height)

    @property
    def _determinant(self) -> float:
        """The area in the photograph that one pixel of the image covers."""
        right, down = self._axes
        return right.x * down.y - right.y * down.x

    def to_photograph(self, place: Point) -> Point:
        """The place in the photograph of a place in the image."""
        right, down = self._axes
        origin = self.corners[0]
        return Point(
            origin.x + place.x * right.x + place.y * down.x,
            origin.y + place.x * right.y + place.y * down.y,
        )

    def to_image(self, place: Point) -> Point:
        """The inverse of `to_photograph`."""
        right, down = self._axes
        x, y = place.x - self.corners[0].x, place.y - self.corners[0].y
        area = self._determinant
        return Point((x * down.y - y * down.x) / area, (y * right.x - x * right.y) / area)

    def plain(self) -> dict[str, Any]:
        """As JSON; `from_plain` reads it."""
        return {
            "alignment": self.alignment,
            "corners": [list(point) for point in self.corners],
            "image": list(self.image),
            "photograph": list(self.photograph),
        }

    @classmethod
    def from_plain(cls, plain: Any, where: str) -> "Transform":
        """Raises `DataError` for anything that `plain` has not made; `where` names it."""
        try:
            if not isinstance(plain, Mapping) or sorted(plain) != sorted(_KEYS):
                raise DataError(f"needs the keys {', '.join(_KEYS)}")
            return cls(
                alignment=plain["alignment"],
                corners=_corners(plain["corners"]),
                image=Size(*map(int, plain["image"])),
                photograph=Size(*map(int, plain["photograph"])),
            )
        except (DataError, TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"{where}: is no transform of an image ({error}); take the file that was written "
                "with the image"
            ) from error

    def to_json(self) -> str:
        return json.dumps(self.plain())

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> "Transform":
        """As `from_plain`."""
        try:
            plain = json.loads(text)
        except ValueError as error:
            raise DataError(
                f"{where}: is not JSON ({error}); take the file that was written with the image"
            ) from error
        return cls.from_plain(plain, where)


def _corners(plain: Sequence[Any]) -> Corners:
    a, b, c, d = (Point(float(x), float(y)) for x, y in plain)
    return a, b, c, d
