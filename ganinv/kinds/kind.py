"""What the pixels of a data set and of a model are: how many channels, of how many bits.

| channels | pixels |
|---|---|
| 1 | grey |
| 2 | grey and opacity |
| 3 | RGB |
| 4 | RGB and opacity |

Opacity reaches from 0 (transparent) to the highest value; colours are not multiplied by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganinv.errors import ConfigError

CHANNELS = (1, 2, 3, 4)
BITS = (8, 16)  # of each channel
DEEP = 16
RGB_CHANNELS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of pixels. Raises `ConfigError` for an impossible one."""

    channels: int = RGB_CHANNELS
    bits: int = 8

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS:
            raise ConfigError(
                f"channels = {self.channels}: must be 1 (grey), 2 (grey and opacity), 3 (RGB) or 4"
                " (RGB and opacity)"
            )
        if self.bits not in BITS:
            raise ConfigError(f"bits = {self.bits}: must be 8 or 16")

    @property
    def top(self) -> int:
        """The highest value of a channel."""
        return int(2**self.bits - 1)

    @property
    def opacity(self) -> bool:
        """Whether the last channel is the opacity."""
        return has_opacity(self.channels)

    def facts(self) -> dict[str, int]:
        """What differs from RGB of 8 bits, for records that leave defaults out."""
        found = {}
        if self.channels != RGB8.channels:
            found["channels"] = self.channels
        if self.bits != RGB8.bits:
            found["bits"] = self.bits
        return found

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Kind":
        """The kind whose `facts` these are."""
        return cls(channels=facts.get("channels", RGB_CHANNELS), bits=facts.get("bits", 8))

    def __str__(self) -> str:
        names = {1: "grey", 2: "grey and opacity", 3: "RGB", 4: "RGB and opacity"}
        return f"{names[self.channels]} of {self.bits} bits a channel"


def has_opacity(channels: int) -> bool:
    return channels in (2, 4)


RGB8 = Kind()
