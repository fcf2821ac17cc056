"""When void steps in a row become a divergence: first one way back, then the end, with evidence.

A cause that passes (a bit that flipped, a batch that a driver spoilt) does not come back when the
same steps are trained again from the last checkpoint; a true divergence does, for replay is exact.
All ranks hold equal guards, since all that these see was agreed before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ganinv.errors import DivergenceError

NAMED = 6  # numbers in a message


@dataclass(kw_only=True)
class Guard:
    """What one run of the loop has seen of void steps. Images are those of `images_seen`."""

    limit: int  # void steps in a row that are too many
    went_back_at: int | None = None  # where; None once trained beyond
    _voids: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)  # in a row
    _last_row: Mapping[str, float] = field(default_factory=dict)  # the newest with finite losses

    def stepped(self, images_seen: int, in_a_row: int, nonfinite: tuple[str, ...]) -> bool:
        """Whether training has diverged with the step that ended there.

        `in_a_row`: void steps up to it; `nonfinite`: what was not finite in it, on any rank.
        """
        if in_a_row:
            self._voids.append((images_seen, nonfinite))
            return in_a_row >= self.limit
        self._voids.clear()
        if self.went_back_at is not None and images_seen > self.went_back_at:
            self.went_back_at = None
        return False

    def logged(self, row: Mapping[str, float]) -> None:
        if all(row[name] == row[name] for name in row if name.startswith("loss/")):  # no NaN
            self._last_row = row

    def went_back(self) -> None:
        """The run has returned to its last checkpoint, for the void steps seen so far."""
        self.went_back_at = self._voids[-1][0]
        self._voids.clear()

    def error(self, checkpoint: str | None) -> DivergenceError:
        """`checkpoint`: the newest good one, or None if there is none."""
        images_seen, names = self._voids[-1]
        first = self._voids[0][0]
        again = ", also on the second way from the last checkpoint" if self.went_back_at else ""
        finite = ", ".join(
            f"{name} {value:.4g}"
            for name, value in self._last_row.items()
            if name.startswith(("loss/", "grad_norm/"))
        )
        known = f"last finite at images_seen = {self._last_row['images_seen']:.0f}: {finite}; "
        good = f"checkpoint {checkpoint} is still good" if checkpoint else "there is no checkpoint"
        return DivergenceError(
            f"{len(self._voids)} steps in a row gave numbers that are not finite, from images_seen "
            f"= {first} to images_seen = {images_seen}{again} (there not finite: "
            f"{', '.join(names[:NAMED])}{' …' if len(names) > NAMED else ''}; "
            f"{known if self._last_row else ''}{good}); lower train.learning_rate or raise "
            "objective.lambda_r1, then start again"
        )
