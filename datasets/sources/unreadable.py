"""Unreadable images: counted and listed, up to a ratio of all images."""

from dataclasses import dataclass, field

from datasets.inputs.left_out import IMAGES, LeftOut
from datasets.sources.base import Skipped
from ganinv.errors import DataError

_LISTED = 20  # images that an error message names
_ROUNDING = 1e-9  # of the sum of two ratios


@dataclass(kw_only=True)
class Unreadable:
    """The unreadable images so far."""

    total: int  # all images
    max_ratio: float  # 0–1, of all images
    option: str  # the key of that ratio, for messages
    before: LeftOut = field(default_factory=LeftOut)  # left out when the images were listed
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def left_out(self) -> LeftOut:
        """What was left out before, and the unreadable images."""
        found = self.before.copy()
        for skipped in self.skipped:
            found.add(skipped.kind, skipped.path)
        return found

    def add(self, skipped: Skipped) -> None:
        """Raises `DataError` once there are more than allowed, with what was left out before."""
        self.skipped.append(skipped)
        before = self.before.share(IMAGES)
        if before + (1 - before) * len(self.skipped) / self.total > self.max_ratio + _ROUNDING:
            raise self.error()

    def error(self) -> DataError:
        """The error for too many unreadable images, or for no readable image at all."""
        listed = "; ".join(f"{s.path}: {s.reason}" for s in self.skipped[:_LISTED])
        others = self.before.line(of=IMAGES)
        return DataError(
            f"{len(self.skipped)} of {self.total} images cannot be used so far ({listed})"
            + (f", beside images left out before ({others})" if others else "")
            + f", over {self.option}={self.max_ratio}; repair or remove them, or raise that ratio"
        )
