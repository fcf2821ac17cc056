"""The corrupt samples of a run, in its storage: one object per sample.

So no rank overwrites another rank's object. The objects outlive every worker group, and everyone
who can read the run can list them.
"""

import hashlib
import json
import logging
from collections.abc import Collection

from cluster.run_folder.unreadable import leave_out
from ganinv.errors import StorageExistsError, StorageMissingError
from ganinv.seams.batches import BadSample
from ganinv.seams.stores import Store

log = logging.getLogger(__name__)
FOLDER = "quarantine/"


def quarantined(store: Store) -> list[BadSample]:
    """All corrupt samples that the run at `store` has found, in order of data set and shard."""
    return RunQuarantine(store).known()


class RunQuarantine:
    """Stores the corrupt samples that this rank finds, and reads those of all ranks."""

    def __init__(self, store: Store, urls: Collection[str] | None = None) -> None:
        """`urls`: where the data sets lie; None: anywhere.

        If a data set has moved, its corrupt samples are found again, and must not count twice.
        """
        self._store = store
        self._urls = urls
        self._known: dict[str, BadSample] = {}

    def record(self, sample: BadSample) -> list[BadSample]:
        """Store `sample`; returns the samples that any rank has stored."""
        try:
            self._store.write_if_absent(
                _name_of(sample), json.dumps(sample._asdict(), indent=1).encode()
            )
        except StorageExistsError:
            log.info("%s is already recorded as corrupt", sample.key)
        return self.known()

    def known(self) -> list[BadSample]:
        """The samples that any rank has stored. The log names objects that cannot be read."""
        names = {e.name for e in self._store.list(FOLDER) if e.name.endswith(".json")}
        for name in names - self._known.keys():
            try:
                text = self._store.read(name)
            except StorageMissingError:
                continue  # somebody has deleted the object since it was listed
            try:
                self._known[name] = _sample_of(name, text)
            except ValueError as problem:
                leave_out(f"{self._store.url}/{name}", problem)
        found = sorted(sample for name, sample in self._known.items() if name in names)
        return [s for s in found if self._urls is None or s.url in self._urls]


def _name_of(sample: BadSample) -> str:
    digest = hashlib.sha256("\0".join(sample.place).encode()).hexdigest()
    return f"{FOLDER}{digest[:32]}.json"


def _sample_of(name: str, text: bytes) -> BadSample:
    """Raises `ValueError` if the object is not the record of a sample, or of another name."""
    content = json.loads(text)
    if not isinstance(content, dict) or content.keys() != set(BadSample._fields):
        raise ValueError("it is not the record of a sample")
    sample = BadSample(**{key: str(value) for key, value in content.items()})
    if _name_of(sample) != name:
        raise ValueError("it is the record of a sample that has another name")
    return sample
