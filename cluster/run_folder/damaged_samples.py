"""Damaged samples of a run, in its storage: one object each, so that no rank overwrites another.

They outlive every worker group, and anyone who can read the run can list them.
"""

import hashlib
import json
import logging

from ganinv.errors import StorageError, StorageExistsError, StorageMissingError
from ganinv.seams.batches import BadSample
from ganinv.seams.stores import Store

log = logging.getLogger(__name__)
FOLDER = "quarantine/"


def quarantined(store: Store) -> list[BadSample]:
    """All damaged samples that the run at `store` has met, in the order of their places."""
    return RunQuarantine(store).known()


class RunQuarantine:
    """Keeps the damaged samples that this rank meets, and knows those of the others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, BadSample] = {}

    def record(self, sample: BadSample) -> list[BadSample]:
        """Keep `sample`; returns all that any rank has kept."""
        digest = hashlib.sha256("\0".join(sample.place).encode()).hexdigest()
        try:
            self._store.write_if_absent(
                f"{FOLDER}{digest[:32]}.json", json.dumps(sample._asdict(), indent=1).encode()
            )
        except StorageExistsError:
            log.info("%s was known to be damaged before", sample.key)
        return self.known()

    def known(self) -> list[BadSample]:
        """All that any rank has kept."""
        names = {entry.name for entry in self._store.list(FOLDER)}
        for name in names - self._known.keys():
            try:
                text = self._store.read(name)
            except StorageMissingError:
                continue  # somebody cleared the list meanwhile
            try:
                self._known[name] = BadSample(**json.loads(text))
            except (ValueError, TypeError) as problem:
                raise StorageError(
                    f"{self._store.url}/{name} is damaged ({problem}); delete it"
                ) from problem
        return sorted(sample for name, sample in self._known.items() if name in names)
