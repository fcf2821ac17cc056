"""From a photograph of any size to the pixels of a data set."""

import re
from dataclasses import dataclass

from PIL import Image

from ganinv.errors import ConfigError

CROP, STRETCH = "crop", "stretch"
RESIZES = (CROP, STRETCH)
_LEAST, _MOST = 8, 4096  # pixels a side


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """The size of all images, and how others come to it."""

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

    def fit(self, image: Image.Image) -> Image.Image:
        """The image at this size, by Lanczos."""
        if self.resize == CROP:
            image = image.crop(self._centre(image.width, image.height))
        return image.resize((self.width, self.height), Image.Resampling.LANCZOS)

    def _centre(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The largest centred box of our shape: left, top, right, bottom, in whole pixels."""
        if width * self.height > height * self.width:
            kept = (max(1, height * self.width // self.height), height)
        else:
            kept = (width, max(1, width * self.height // self.width))
        left, top = (width - kept[0]) // 2, (height - kept[1]) // 2
        return left, top, left + kept[0], top + kept[1]


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
