"""`groups/` beside a run: one JSON object per worker group, from its launch to its end.

The driver alone writes; an object is replaced as its group goes on, so that a driver that was
killed leaves what it knew a moment ago. A second driver cannot overwrite the first one's objects:
names are NUMBER-DRIVER.json.
"""

import json
import secrets
import time
from collections.abc import Iterable

from cluster.run_folder.group_history import GroupRecord, as_json
from cluster.storage.write_behind import WriteBehind
from ganinv.errors import StorageError
from ganinv.seams.stores import Reader, Store

FOLDER = "groups/"
REFRESH_S = 15.0  # from one writing of a group that goes on to the next


def read_groups(store: Reader) -> list[GroupRecord]:
    """All worker groups of a run, oldest first. Raises `StorageError` for a damaged object."""
    records = []
    for entry in store.list(FOLDER):
        url = f"{store.url}/{entry.name}"
        try:
            content = json.loads(store.read(entry.name))
        except ValueError as error:
            raise StorageError(f"{url} is damaged ({error}); delete it") from error
        records.append(GroupRecord.from_json(content, url))
    return sorted(records, key=lambda record: (record.number, record.launched))


class GroupLog:
    """Keeps a driver's groups in storage, behind its back: an outage does not hold it up."""

    def __init__(self, store: Store) -> None:
        known = read_groups(store)
        self.first_number = known[-1].number + 1 if known else 0
        self._store = WriteBehind(store)
        self._driver = secrets.token_hex(4)
        self._kept: dict[int, tuple[GroupRecord, float]] = {}

    def keep(self, records: Iterable[GroupRecord]) -> None:
        """Have what is new written."""
        for record in records:
            if self._is_due(record):
                self._write(record)

    def close(self, records: Iterable[GroupRecord]) -> None:
        """Have the rest written, and wait for it; bounded."""
        for record in records:
            if record.number not in self._kept or self._kept[record.number][0] != record:
                self._write(record)
        self._store.close()

    def _is_due(self, record: GroupRecord) -> bool:
        if record.number not in self._kept:
            return True
        before, at = self._kept[record.number]
        turned = (before.first_step is None) != (record.first_step is None)
        turned = turned or before.reason != record.reason or before.committed != record.committed
        return turned or (before != record and time.monotonic() - at >= REFRESH_S)

    def _write(self, record: GroupRecord) -> None:
        name = f"{FOLDER}{record.number:06d}-{self._driver}.json"
        self._store.write(name, (json.dumps(as_json(record), indent=1) + "\n").encode())
        self._kept[record.number] = (record, time.monotonic())
