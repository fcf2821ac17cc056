"""`groups/` beside a run: one JSON object per worker group, from its launch to its end.

The driver alone writes; an object is replaced as its group goes on, so that a driver that was
killed leaves what it knew a moment ago. A second driver cannot overwrite the first one's objects:
names are NUMBER-DRIVER.json.
"""

import json
import logging
import secrets
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from cluster.history import GroupRecord, as_json
from ganinv.errors import StorageError
from ganinv.seams import Reader, Store

log = logging.getLogger(__name__)
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
    """Keeps a driver's groups in storage, off its thread: an outage must not hold the driver up."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._driver = secrets.token_hex(4)
        known = read_groups(store)
        self.first_number = known[-1].number + 1 if known else 0
        self._written: dict[int, tuple[GroupRecord, float]] = {}
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="group-log")
        self._writing: Future[None] | None = None

    def keep(self, records: Iterable[GroupRecord]) -> None:
        """Write what is new, unless writing is still under way; then the next call does."""
        if self._writing is not None:
            if not self._writing.done():
                return
            self._note_outcome(self._writing)
        if due := [record for record in records if self._is_due(record)]:
            self._writing = self._writer.submit(self._write, due)

    def close(self, records: Iterable[GroupRecord]) -> None:
        """Write the rest, once. A storage that refuses it is named in the log."""
        self._writer.shutdown()
        try:
            self._write([r for r in records if self._written.get(r.number, (None,))[0] != r])
        except StorageError as error:
            log.warning("the record of the last group is not complete: %s", error)

    def _is_due(self, record: GroupRecord) -> bool:
        if record.number not in self._written:
            return True
        before, at = self._written[record.number]
        turned = (before.first_step is None) != (record.first_step is None)
        turned = turned or before.reason != record.reason or before.committed != record.committed
        return turned or (before != record and time.monotonic() - at >= REFRESH_S)

    def _write(self, records: list[GroupRecord]) -> None:
        for record in records:
            name = f"{FOLDER}{record.number:06d}-{self._driver}.json"
            self._store.write(name, (json.dumps(as_json(record), indent=1) + "\n").encode())
            self._written[record.number] = (record, time.monotonic())

    def _note_outcome(self, writing: "Future[None]") -> None:
        error = writing.exception()
        if error is None:
            return
        if not isinstance(error, StorageError):
            raise error
        log.info("the record of the group will be written again: %s", error)
