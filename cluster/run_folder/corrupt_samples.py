"""The corrupt samples of a run, in its storage: one object per sample.

So no rank overwrites another rank's object. The objects outlive every worker group, and everyone
who can read the run can list them.
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
    """All corrupt samples that the run at `store` has found, in order of data set and shard."""
    return RunQuarantine(store).known()


class RunQuarantine:
    """Stores the corrupt samples that this rank finds, and reads those of all ranks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, BadSample] = {}

    def record(self, sample: BadSample) -> list[BadSample]:
        """Store `sample`; returns the samples that any rank has stored."""
        digest = hashlib.sha256("\0".join(sample.place).encode()).hexdigest()
        try:
            self._store.write_if_absent(
                f"{FOLDER}{digest[:32]}.json", json.dumps(sample._asdict(), indent=1).encode()
            )
        except StorageExistsError:
            log.info("%s is already recorded as corrupt", sample.key)
        return self.known()

    def known(self) -> list[BadSample]:
        """The samples that any rank has stored. Raises `StorageError` for a corrupt object."""
        names = {entry.name for entry in self._store.list(FOLDER)}
        for name in names - self._known.keys():
            try:
                text = self._store.read(name)
            except StorageMissingError:
                continue  # somebody has deleted the object since it was listed
            try:
                self._known[name] = BadSample(**json.loads(text))
            except (ValueError, TypeError) as problem:
                raise StorageError(
                    f"{self._store.url}/{name} is corrupt ({problem}); delete it"
                ) from problem
        return sorted(sample for name, sample in self._known.items() if name in names)
