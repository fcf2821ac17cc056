"""What a build left out and what came twice, in `build.json` beside the index."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from datasets.sources.base import Skipped
from ganinv.errors import StorageMissingError
from ganinv.seams.stores import Store

REPORT_NAME = "build.json"


class Duplicate(NamedTuple):
    """An image with the same pixels as an earlier one."""

    key: str
    first: str
    """Key of the earlier one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildReport:
    """What a person should know of a build."""

    skipped: Sequence[Skipped] = ()
    duplicates: Sequence[Duplicate] = ()
    dropped: bool = False
    """Whether the duplicates were left out."""

    def save(self, store: Store) -> None:
        content = {
            "skipped": self.skipped,
            "duplicates": self.duplicates,
            "dropped": self.dropped,
        }
        store.write(REPORT_NAME, (json.dumps(content, indent=1) + "\n").encode())

    @classmethod
    def load(cls, store: Store) -> "BuildReport":
        """An empty one if there is none: the tars were indexed, not built."""
        try:
            content = json.loads(store.read(REPORT_NAME))
        except StorageMissingError:
            return cls()
        return cls(
            skipped=[Skipped(*skipped) for skipped in content["skipped"]],
            duplicates=[Duplicate(*duplicate) for duplicate in content["duplicates"]],
            dropped=content["dropped"],
        )
