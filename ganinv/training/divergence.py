"""Decides when void steps in a row count as a divergence, and reports what is known about it.

After the first divergence, training returns to the last checkpoint. If training diverges again
before it has passed that point, it ends. A transient fault (a flipped bit, a batch that a driver
corrupted) does not recur when the same steps are trained again. A true divergence recurs, because
replay is exact. All ranks hold equal guards, because the ranks agree on a guard's inputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ganinv.errors import DivergenceError

NAMED = 6  # non-finite quantities listed in a message


@dataclass(kw_only=True)
class Guard:
    """The record of void steps in one run of the loop. Times are values of `images_seen`."""

    limit: int  # this many void steps in a row are a divergence
    # Time of the last divergence; None once training has passed it.
    went_back_at: int | None = None
    _voids: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    _last_row: Mapping[str, float] = field(default_factory=dict)  # the newest with finite losses

    def stepped(self, images_seen: int, in_a_row: int, nonfinite: tuple[str, ...]) -> bool:
        """Record a step that ended at `images_seen`; returns whether training has diverged.

        `in_a_row`: void steps in a row, up to this step. `nonfinite`: names of the quantities that
        were non-finite in this step, on any rank.
        """
        if in_a_row:
            self._voids.append((images_seen, nonfinite))
            return in_a_row >= self.limit
        self._voids.clear()
        if self.went_back_at is not None and images_seen > self.went_back_at:
            self.went_back_at = None
        return False

    def logged(self, row: Mapping[str, float]) -> None:
        """Remember the row for the error message, if its losses are finite."""
        if all(row[name] == row[name] for name in row if name.startswith("loss/")):  # false for NaN
            self._last_row = row

    def went_back(self) -> None:
        """Record that training has returned to its last checkpoint because of the void steps."""
        self.went_back_at = self._voids[-1][0]
        self._voids.clear()

    def error(self, checkpoint: str | None) -> DivergenceError:
        """The error for the void steps. `checkpoint`: the newest intact one, if there is one."""
        images_seen, names = self._voids[-1]
        first = self._voids[0][0]
        again = ", and again after a return to the last checkpoint" if self.went_back_at else ""
        known = ""
        if self._last_row:  # training may diverge before it
            finite = ", ".join(
                f"{name} {value:.4g}"
                for name, value in self._last_row.items()
                if name.startswith(("loss/", "grad_norm/"))
            )
            known = f"last finite at images_seen = {self._last_row['images_seen']:.0f}: {finite}; "
        good = f"checkpoint {checkpoint} is intact" if checkpoint else "there is no checkpoint"
        return DivergenceError(
            f"{len(self._voids)} steps in a row gave non-finite numbers, from images_seen "
            f"= {first} to images_seen = {images_seen}{again} (non-finite in the last step: "
            f"{', '.join(names[:NAMED])}{' …' if len(names) > NAMED else ''}; "
            f"{known}{good}); lower train.learning_rate or raise "
            "objective.lambda_r1, then start again"
        )
