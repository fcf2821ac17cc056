"""Input that does not become part of a data set: counted by reason, up to a ratio of the input."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from ganinv.errors import DataError

IMAGES = "images"
ROWS = "rows of attributes"

_EXAMPLES = 20  # names that are kept for each reason
_ROUNDING = 1e-9
_IN_MESSAGES = 5  # names that one message repeats for each reason


@dataclass(kw_only=True, slots=True)
class Group:
    """Everything that is left out for one reason."""

    of: str | None
    """What it is part of, `IMAGES` or `ROWS`; None if leaving it out is never an error."""
    count: int = 0
    examples: list[str] = field(default_factory=list)
    """The first names."""


class LeftOut:
    """Counts what a source leaves out, for the report of a build and for one closing line.

    A reason is a phrase that a count can follow, in the plural and without names or numbers of its
    own: `unreadable images`, `files in the format .heic, which cannot be read`.
    """

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        """By reason, in the order in which the reasons came up."""
        self.totals: dict[str, int] = {}
        """How many `IMAGES` and `ROWS` the input holds, with those left out; a source sets it."""

    def __bool__(self) -> bool:
        return bool(self.groups)

    def add(self, reason: str, name: str, *, of: str = IMAGES) -> None:
        """Count something that a user expects in the data set; `check` limits the ratio of it."""
        self._add(reason, name, of)

    def note(self, reason: str, name: str) -> None:
        """Count something that is left out by design, such as CelebA's validation images."""
        self._add(reason, name, None)

    def count(self, of: str) -> int:
        """How many of the `IMAGES` or `ROWS` are left out, without those that are only noted."""
        return sum(group.count for group in self.groups.values() if group.of == of)

    def share(self, of: str) -> float:
        """The ratio of the `IMAGES` or `ROWS` that are left out, 0–1."""
        return self.count(of) / self.totals[of] if self.totals.get(of) else 0.0

    def check(self, max_ratio: float, option: str) -> None:
        """Raises `DataError` if more than `max_ratio` (0–1) of the images or rows is left out.

        `option` is the key of that ratio, for the message.
        """
        for of, total in self.totals.items():
            if self.count(of) > max_ratio * total + _ROUNDING:
                raise DataError(
                    f"{self.count(of)} of {total} {of} would be left out"
                    f" ({self.line(of=of, names=True)}), over {option}={max_ratio}; repair, convert"
                    " or remove them, or raise that ratio"
                )

    def line(self, *, of: str | None = None, names: bool = False) -> str:
        """`REASON: COUNT; REASON: COUNT`, on request with the first names; empty for nothing.

        `of` restricts it to what counts as part of that.
        """
        return "; ".join(
            f"{reason}: {group.count}" + (_examples(group) if names else "")
            for reason, group in self.groups.items()
            if of is None or group.of == of
        )

    def counts(self) -> dict[str, int]:
        """Reason → how much is left out for it."""
        return {reason: group.count for reason, group in self.groups.items()}

    def facts(self) -> dict[str, Any]:
        """As JSON: reason → count and first names. `load` reads it."""
        return {
            reason: {"count": group.count, "of": group.of, "examples": group.examples}
            for reason, group in self.groups.items()
        }

    @classmethod
    def load(cls, facts: Mapping[str, Any]) -> "LeftOut":
        found = cls()
        found.groups = {reason: Group(**group) for reason, group in facts.items()}
        return found

    def copy(self) -> "LeftOut":
        """A copy that can be added to."""
        return deepcopy(self)

    def _add(self, reason: str, name: str, of: str | None) -> None:
        group = self.groups.setdefault(reason, Group(of=of))
        group.count += 1
        if len(group.examples) < _EXAMPLES:
            group.examples.append(name)


def _examples(group: Group) -> str:
    named = ", ".join(group.examples[:_IN_MESSAGES])
    return f" ({named}{', …' if group.count > _IN_MESSAGES else ''})"
