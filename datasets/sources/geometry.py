"""The size of a data set's images, and how photographs are resized to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganinv.alignment.transform import CROP, FACES, PAD, STRETCH
from ganinv.errors import ConfigError
from ganinv.kinds.kind import RGB8, Kind
from ganinv.sizes import Resolution, Size, size_of

RESIZES = (CROP, STRETCH, PAD)
ALIGNS = (FACES,)
_MIN_SIDE, _MAX_SIDE = 8, 4096  # pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """The size of all images, and how photographs reach it: see `ganinv.alignment.aligning`."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    alignment: str
    """`crop` keeps the largest centred part of the right shape; `stretch` keeps the whole image
    and changes its proportions (the DLSGAN author's CelebA: 178 × 218 to 128 × 128); `pad` keeps
    both, and fills the rest with black. An image that fits is padded without resampling it.
    `faces` keeps the square of the largest face, as FFHQ does."""
    kind: Kind = RGB8
    """Of the pixels."""

    @property
    def side(self) -> int | None:
        """Pixels a side of a square; None for other shapes."""
        return self.width if self.width == self.height else None

    def facts(self) -> dict[str, Resolution]:
        """The entries of `Source.description` for the size; the default, a crop, is left out."""
        found = {"resolution": Size(self.width, self.height).resolution}
        if self.alignment == CROP:
            return found
        return found | {"align" if self.alignment in ALIGNS else "resize": self.alignment}


def recorded_alignment(description: Mapping[str, Any]) -> str | None:
    """How photographs became the images of a data set, from its `Source.description`.

    None for a crop, and where it is not known, as for tars that were only indexed. A run records
    it, so that other photographs come to its model in the same way.
    """
    found = description.get("align") or description.get("resize")
    return found if found in (STRETCH, PAD, FACES) else None


def parse_geometry(
    resolution: Resolution, resize: str, align: str | None = None, kind: Kind = RGB8
) -> Geometry:
    """Parse a resolution: `128` for squares, `178x218` for exactly that width and height.

    Raises one `ConfigError` for all problems.
    """
    problems = []
    try:
        width, height = size_of(resolution)
    except ConfigError:
        width, height = 0, 0
    if not (_MIN_SIDE <= width <= _MAX_SIDE and _MIN_SIDE <= height <= _MAX_SIDE):
        problems.append(
            f"data.resolution={resolution} is neither pixels a side nor WIDTHxHEIGHT within"
            f" {_MIN_SIDE}–{_MAX_SIDE}; write for example 128 or 178x218"
        )
    if resize not in RESIZES:
        problems.append(f"data.resize={resize} is not one of {', '.join(RESIZES)}; choose one")
    if align is not None and align not in ALIGNS:
        problems.append(
            f"data.align={align} is not {', '.join(ALIGNS)}; write that, or leave it out"
        )
    elif align is not None and resize != CROP:
        problems.append(
            f"data.resize={resize} is for photographs that are not aligned; leave it or data.align"
            " out"
        )
    elif align is not None and kind != RGB8:
        problems.append(
            f"data.align={align} cuts faces out in {RGB8}, not in {kind}; leave it out, or"
            " data.channels and data.bits"
        )
    if problems:
        raise ConfigError("; ".join(problems))
    return Geometry(width=width, height=height, alignment=align or resize, kind=kind)
