"""The report of a build, `build.json` beside the index: what was left out, and duplicates."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from datasets.inputs.left_out import LeftOut
from datasets.sources.base import Skipped
from ganinv.errors import DataError, StorageMissingError
from ganinv.seams.stores import Store

REPORT_NAME = "build.json"


class Duplicate(NamedTuple):
    """An image with the same pixels as an earlier one."""

    key: str
    first: str
    """Key of the earlier image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildReport:
    """What of the input is not in the data set, and images that have equal pixels."""

    skipped: Sequence[Skipped] = ()
    """Images that could not be read, each with its own reason."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """Everything that was left out, counted by reason, with the images of `skipped`."""
    duplicates: Sequence[Duplicate] = ()
    dropped: bool = False
    """Whether the duplicates were left out of the data set."""

    @property
    def closing_line(self) -> str:
        """Everything that was left out, by reason, with the first names; empty for nothing."""
        return f"Left out: {self.left_out.line(names=True)}" if self.left_out else ""

    def save(self, store: Store) -> None:
        content = {
            "skipped": self.skipped,
            "left_out": self.left_out.facts(),
            "duplicates": self.duplicates,
            "dropped": self.dropped,
        }
        store.write(REPORT_NAME, (json.dumps(content, indent=1) + "\n").encode())

    @classmethod
    def load(cls, store: Store) -> "BuildReport":
        """The stored report; an empty report if there is none, as for tars that were indexed.

        Raises `DataError` for a corrupt report, and for a `build.json` of another program.
        """
        try:
            content = json.loads(store.read(REPORT_NAME))
            return cls(
                skipped=[Skipped(*skipped) for skipped in content["skipped"]],
                left_out=LeftOut.load(content.get("left_out", {})),  # not in reports of version 0.1
                duplicates=[Duplicate(*duplicate) for duplicate in content["duplicates"]],
                dropped=content["dropped"],
            )
        except StorageMissingError:
            return cls()
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            raise DataError(
                f"{store.url.rstrip('/')}/{REPORT_NAME} is not a report of this program"
                f" ({problem!r}); move it elsewhere, or delete it if it is corrupt"
            ) from problem
