"""`groups/` in a run's folder: one JSON object per worker group, from its launch to its end.

Only the driver writes. It replaces a group's object while the group trains, so that a killed driver
leaves a recent record. Names are NUMBER-DRIVER.json, so a second driver cannot overwrite the
objects of the first.
"""

import json
import re
import secrets
import time
from collections.abc import Iterable

from cluster.run_folder.group_history import GroupRecord, as_json
from cluster.run_folder.unreadable import leave_out
from cluster.storage.write_behind import WriteBehind
from ganinv.errors import StorageMissingError
from ganinv.seams.stores import Reader, Store

FOLDER = "groups/"
_NAME = re.compile(rf"{FOLDER}(\d{{6,}})-[0-9a-f]+\.json")
REFRESH_S = 15.0  # how often the record of a training group is rewritten


def read_groups(store: Reader) -> list[GroupRecord]:
    """All worker groups of a run, oldest first. The log names records that cannot be read."""
    records = []
    for name, number in _numbers(store).items():
        try:
            record = GroupRecord.from_json(json.loads(store.read(name)))
            if record.number != number:
                raise ValueError(f"it is the record of group {record.number}")
        except StorageMissingError:
            continue  # deleted since it was listed
        except ValueError as error:
            leave_out(f"{store.url}/{name}", error)
        else:
            records.append(record)
    return sorted(records, key=lambda record: (record.number, record.launched))


def _numbers(store: Reader) -> dict[str, int]:
    """The numbers of the groups that have an object, by its name."""
    matches = (_NAME.fullmatch(entry.name) for entry in store.list(FOLDER))
    return {match[0]: int(match[1]) for match in matches if match}


class GroupLog:
    """Writes group records in the background; an outage never blocks the driver."""

    def __init__(self, store: Store) -> None:
        self.first_number = max(_numbers(store).values(), default=-1) + 1
        self._store = WriteBehind(store)
        self._driver = secrets.token_hex(4)
        self._kept: dict[int, tuple[GroupRecord, float]] = {}

    def keep(self, records: Iterable[GroupRecord]) -> None:
        """Queue the records that have changed."""
        for record in records:
            if self._is_due(record):
                self._write(record)

    def close(self, records: Iterable[GroupRecord]) -> None:
        """Write all records that have changed, and wait for the writes, for a limited time."""
        for record in records:
            if record.number not in self._kept or self._kept[record.number][0] != record:
                self._write(record)
        self._store.close()

    def _is_due(self, record: GroupRecord) -> bool:
        if record.number not in self._kept:
            return True
        before, at = self._kept[record.number]
        changed = (before.first_step is None) != (record.first_step is None)
        changed = changed or before.reason != record.reason or before.committed != record.committed
        return changed or (before != record and time.monotonic() - at >= REFRESH_S)

    def _write(self, record: GroupRecord) -> None:
        name = f"{FOLDER}{record.number:06d}-{self._driver}.json"
        self._store.write(name, (json.dumps(as_json(record), indent=1) + "\n").encode())
        self._kept[record.number] = (record, time.monotonic())
