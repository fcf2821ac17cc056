"""Bad samples: those listed beside the data, and those found while reading.

`datasets.streaming.decoding` chooses the replacement of a bad sample from the content of the data
alone. So ranks need not agree on the contents of a quarantine.
"""

import json
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Sequence

from datasets.shards.index import Index
from ganinv.errors import DataError, StorageMissingError
from ganinv.seams.batches import BadSample
from ganinv.seams.stores import Store

log = logging.getLogger(__name__)
QUARANTINE_NAME = "quarantine.json"
_MAX_NAMED = 20  # samples that a message names

# Stores a bad sample for the run, and returns all bad samples of the run, including this one.
RecordBadSample = Callable[[BadSample], Sequence[BadSample]]


def listed_samples(store: Store, index: Index) -> list[BadSample]:
    """The samples in `quarantine.json` at the root of a data set; none if there is no such list.

    Raises `DataError` for a list that is corrupt or was made for other shards.
    """
    try:
        text = store.read(QUARANTINE_NAME)
    except StorageMissingError:
        return []
    where = f"{store.url.rstrip('/')}/{QUARANTINE_NAME}"
    try:
        content = json.loads(text)
        fingerprint = content["fingerprint"]
        found = [BadSample(store.url, *map(str, sample)) for sample in content["samples"]]
    except (ValueError, TypeError, KeyError) as problem:
        raise DataError(
            f"{where} is corrupt ({problem!r}); delete it, or write it again with `data verify"
            " data.quarantine=true`"
        ) from problem
    if fingerprint != index.fingerprint:
        raise DataError(
            f"{where} was made for shards with another fingerprint; delete it, or write it again"
            " with `data verify data.quarantine=true`"
        )
    return found


class Quarantine:
    """The known bad samples. Thread-safe."""

    def __init__(
        self, limit: int, *, listed: Iterable[BadSample] = (), record: RecordBadSample | None = None
    ) -> None:
        """`limit`: how many bad samples the run tolerates, not counting the listed ones."""
        self._limit = limit
        self._known: dict[tuple[str, str], frozenset[str]] = {}
        for sample in listed:
            self._know(sample)
        self._found: list[BadSample] = []
        self._record = record or self._remember
        self._lock = threading.Lock()

    def keys(self, url: str, shard: str) -> Collection[str]:
        """The keys of the bad samples of a shard."""
        return self._known.get((url, shard), ())

    def holds(self, url: str, shard: str, key: str) -> bool:
        return key in self.keys(url, shard)

    def add(self, sample: BadSample) -> None:
        """Quarantine a sample. Raises `DataError` with the list if it exceeds the limit."""
        with self._lock:
            if self.holds(*sample.place):
                return
            log.warning("quarantined and not used: %s", sample.reason)
            found = self._record(sample)
            self._know(sample)
        if len(found) > self._limit:
            names = [f"{bad.key!r} in {bad.url}/{bad.shard}" for bad in found[:_MAX_NAMED]]
            more = f" and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else ""
            raise DataError(
                f"{len(found)} samples are corrupt, and data.max_quarantined and"
                f" data.max_quarantined_ratio allow {self._limit}: {', '.join(names)}{more};"
                f" restore these shards or raise the limit (the last one: {sample.reason})"
            )

    def _know(self, sample: BadSample) -> None:
        url, shard, key = sample.place
        # Replace the set instead of changing it: other threads may be reading it.
        self._known[url, shard] = frozenset({*self.keys(url, shard), key})

    def _remember(self, sample: BadSample) -> Sequence[BadSample]:
        self._found.append(sample)
        return self._found
