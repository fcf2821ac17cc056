"""The size of a data set's images, and how photographs are resized to it."""

from dataclasses import dataclass

from ganinv.errors import ConfigError
from ganinv.sizes import Resolution, Size, size_of

CROP, STRETCH, PAD = RESIZES = ("crop", "stretch", "pad")
_MIN_SIDE, _MAX_SIDE = 8, 4096  # pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """The size of all images, and how `ganinv.resizing.resize_photograph` reaches that size."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    resize: str
    """`crop` keeps the largest centred part of the right shape; `stretch` keeps the whole image
    and changes its proportions (the DLSGAN author's CelebA: 178 × 218 to 128 × 128); `pad` keeps
    both, and fills the rest with black. An image that fits is padded without resampling it."""

    @property
    def side(self) -> int | None:
        """Pixels a side of a square; None for other shapes."""
        return self.width if self.width == self.height else None

    def facts(self) -> dict[str, Resolution]:
        """The entries of `Source.description` for the size; the default `resize` is left out."""
        found = {"resolution": Size(self.width, self.height).resolution}
        return found if self.resize == CROP else found | {"resize": self.resize}


def parse_geometry(resolution: Resolution, resize: str) -> Geometry:
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
    if problems:
        raise ConfigError("; ".join(problems))
    return Geometry(width=width, height=height, resize=resize)
