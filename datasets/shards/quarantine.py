"""Samples that cannot be used: those listed beside the data, and those found while reading.

What takes the place of a bad sample is decided where it is decoded (`datasets.streaming.decoding`),
from the content of the data alone, so that nothing here has to be agreed upon between ranks.
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
_SHOWN = 20  # samples that a message names

# Keeps a bad sample for the run, and returns all that the run knows of, this one included.
Record = Callable[[BadSample], Sequence[BadSample]]


def listed_samples(store: Store, index: Index) -> list[BadSample]:
    """Those of `quarantine.json` at the root of a data set; none if there is no such list.

    Raises `DataError` for a list that is damaged or was made for other shards.
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
            f"{where} is damaged ({problem!r}); delete it, or write it anew with `data verify`"
        ) from problem
    if fingerprint != index.fingerprint:
        raise DataError(
            f"{where} was made for shards with another fingerprint; delete it, or write it anew"
            " with `data verify`"
        )
    return found


class Quarantine:
    """What is known to be bad. May be used from several threads."""

    def __init__(
        self, most: int, *, listed: Iterable[BadSample] = (), record: Record | None = None
    ) -> None:
        """`most`: bad samples, the listed ones aside, that do not stop the run."""
        self._most = most
        self._known: dict[tuple[str, str], frozenset[str]] = {}
        for sample in listed:
            self._know(sample)
        self._found: list[BadSample] = []
        self._record = record or self._remember
        self._lock = threading.Lock()

    def keys(self, url: str, shard: str) -> Collection[str]:
        """The bad samples of a shard."""
        return self._known.get((url, shard), ())

    def holds(self, url: str, shard: str, key: str) -> bool:
        return key in self.keys(url, shard)

    def add(self, sample: BadSample) -> None:
        """Raises `DataError` with the list if there are too many by now."""
        with self._lock:
            if self.holds(*sample.place):
                return
            log.warning("quarantined, and not used: %s", sample.reason)
            found = self._record(sample)
            self._know(sample)
        if len(found) > self._most:
            names = [f"{bad.key!r} in {bad.url}/{bad.shard}" for bad in found[:_SHOWN]]
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise DataError(
                f"{len(found)} samples are damaged, and data.max_quarantined and"
                f" data.max_quarantined_ratio allow {self._most}: {', '.join(names)}{more}; restore"
                f" these shards or raise the limit (the last one: {sample.reason})"
            )

    def _know(self, sample: BadSample) -> None:
        url, shard, key = sample.place
        # Replaced, never changed: other threads may be reading it.
        self._known[url, shard] = frozenset({*self.keys(url, shard), key})

    def _remember(self, sample: BadSample) -> Sequence[BadSample]:
        self._found.append(sample)
        return self._found
