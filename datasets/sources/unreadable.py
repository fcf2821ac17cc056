"""Images that cannot be read: counted and named, up to a ratio of all."""

from dataclasses import dataclass, field

from datasets.sources.base import Skipped
from ganinv.errors import DataError

_LISTED = 20  # images that an error message names


@dataclass(kw_only=True)
class Unreadable:
    """What was left out so far."""

    total: int  # images there are
    max_ratio: float  # 0–1, of them
    option: str  # that ratio's key, for messages
    skipped: list[Skipped] = field(default_factory=list)

    def add(self, skipped: Skipped) -> None:
        """Raises `DataError` once there are more than allowed."""
        self.skipped.append(skipped)
        if len(self.skipped) > self.max_ratio * self.total:
            raise self.error()

    def error(self) -> DataError:
        """That there are too many, or no others."""
        listed = "; ".join(f"{path}: {reason}" for path, reason in self.skipped[:_LISTED])
        return DataError(
            f"{len(self.skipped)} of {self.total} images are unreadable so far ({listed}), over"
            f" {self.option}={self.max_ratio}; mend or remove them, or raise that ratio"
        )
