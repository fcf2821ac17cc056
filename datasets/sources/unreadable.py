"""Unreadable images: counted and listed, up to a ratio of all images."""

from dataclasses import dataclass, field

from datasets.sources.base import Skipped
from ganinv.errors import DataError

_LISTED = 20  # images that an error message names


@dataclass(kw_only=True)
class Unreadable:
    """The unreadable images so far."""

    total: int  # all images
    max_ratio: float  # 0–1, of all images
    option: str  # the key of that ratio, for messages
    skipped: list[Skipped] = field(default_factory=list)

    def add(self, skipped: Skipped) -> None:
        """Raises `DataError` once there are more than allowed."""
        self.skipped.append(skipped)
        if len(self.skipped) > self.max_ratio * self.total:
            raise self.error()

    def error(self) -> DataError:
        """The error for too many unreadable images, or for no readable image at all."""
        listed = "; ".join(f"{s.path}: {s.reason}" for s in self.skipped[:_LISTED])
        return DataError(
            f"{len(self.skipped)} of {self.total} images are unreadable so far ({listed}), over"
            f" {self.option}={self.max_ratio}; repair or remove them, or raise that ratio"
        )
