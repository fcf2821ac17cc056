"""The size of a data set's images, as a person writes it."""

import re
from dataclasses import dataclass

from ganinv.errors import ConfigError

CROP, STRETCH = "crop", "stretch"
RESIZES = (CROP, STRETCH)
_LEAST, _MOST = 8, 4096  # pixels a side


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """The size of all images, and how photographs come to it, see `ganinv.squares.prepare`."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    resize: str
    """`crop` keeps the largest centred part of the right shape; `stretch` keeps all of the image,
    whatever that does to its shape (the DLSGAN author's CelebA: 178 × 218 to 128 × 128)."""

    @property
    def side(self) -> int | None:
        """Pixels a side of a square; None for other shapes."""
        return self.width if self.width == self.height else None

    def describe(self) -> dict[str, int | str]:
        """For `Source.describe`; what is the default is left out."""
        found: dict[str, int | str] = {"resolution": self.side or f"{self.width}x{self.height}"}
        return found if self.resize == CROP else found | {"resize": self.resize}


def parse_geometry(resolution: int | str, resize: str) -> Geometry:
    """`128` for squares, `178x218` for exactly that width and height.

    Raises one `ConfigError` for all that is wrong.
    """
    problems = []
    match = re.fullmatch(r"(\d{1,6})(?:[x×](\d{1,6}))?", str(resolution).strip())
    width = int(match[1]) if match else 0
    height = int(match[2] or match[1]) if match else 0
    if not (_LEAST <= width <= _MOST and _LEAST <= height <= _MOST):
        problems.append(
            f"data.resolution={resolution} is neither pixels a side nor WIDTHxHEIGHT within"
            f" {_LEAST}–{_MOST}; write for example 128 or 178x218"
        )
    if resize not in RESIZES:
        problems.append(f"data.resize={resize} is none of {', '.join(RESIZES)}; choose one")
    if problems:
        raise ConfigError("; ".join(problems))
    return Geometry(width=width, height=height, resize=resize)
