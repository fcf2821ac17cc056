"""The size of images: `128` stands for squares of 128 pixels a side, `128x96` for WIDTHxHEIGHT.

Options, records, checkpoints and exports hold this form (`Resolution`); code that needs pixels
takes a `Size`. Squares are always written as one number.
"""

import re
from typing import NamedTuple, TypeAlias

from ganinv.errors import ConfigError

Resolution: TypeAlias = int | str

_FORM = re.compile(r"(\d{1,15})(?:[x×](\d{1,15}))?")


class Size(NamedTuple):
    """Pixels of an image, in the order in which Pillow and people give them."""

    width: int
    height: int

    @property
    def resolution(self) -> Resolution:
        """The size as options and records hold it."""
        return self.width if self.width == self.height else f"{self.width}x{self.height}"

    @property
    def pixels(self) -> int:
        return self.width * self.height


def size_of(resolution: Resolution) -> Size:
    """Raises `ConfigError` for anything but `SIDE` or `WIDTHxHEIGHT` of at least one pixel."""
    match = _FORM.fullmatch(str(resolution).strip())
    size = Size(int(match[1]), int(match[2] or match[1])) if match else Size(0, 0)
    if min(size) < 1:
        raise ConfigError(
            f"resolution = {resolution}: is neither pixels a side nor WIDTHxHEIGHT; write for "
            "example 128 or 128x96"
        )
    return size
