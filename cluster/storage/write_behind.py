"""A store that writes small objects in the background: training never waits for its logs.

If a write fails, the newest content of each object is kept and written later. `flush` is for
callers who must know that everything has been written.
"""

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cluster.storage.outage_log import OutageLog
from ganinv.errors import StorageError
from ganinv.seams.stores import Blobs, Entries, Range, Store

log = logging.getLogger(__name__)
RETRY_S = 10.0
CLOSE_S = 60.0
# Objects that may wait; more than a year of evaluations. Beyond that the oldest are dropped.
MAX_PENDING = 1000


class WriteBehind:
    """Implements `seams.stores.Store`: writes to `store` in a thread, forwards all other verbs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: dict[str, bytes] = {}
        self._lock = threading.Lock()  # guards `_pending`
        self._writing = threading.Lock()  # so that no older content replaces a newer one
        self._outage = OutageLog("write logs of the run", "keeping them to write later")
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return self._store.url

    def list(self, prefix: str = "") -> Entries:
        return self._store.list(prefix)

    def read(self, name: str) -> bytes:
        with self._lock:
            pending = self._pending.get(name)
        return self._store.read(name) if pending is None else pending

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        return self._store.read_ranges(ranges)

    def write(self, name: str, data: bytes | memoryview | Path) -> None:
        """Returns at once. An error is logged, and the write is retried."""
        content = data.read_bytes() if isinstance(data, Path) else bytes(data)
        with self._lock:
            self._pending.pop(name, None)
            self._pending[name] = content
            if len(self._pending) > MAX_PENDING:
                oldest = next(iter(self._pending))
                del self._pending[oldest]
                log.warning("%s could not be written for too long; its content is lost", oldest)
        self._wake.set()

    def write_if_absent(self, name: str, data: bytes) -> None:
        self._store.write_if_absent(name, data)

    def delete(self, names: Sequence[str]) -> None:
        self._store.delete(names)

    def flush(self) -> None:
        """Write all pending objects. Raises `StorageError` if one fails; that one stays pending."""
        with self._writing:
            while True:
                with self._lock:
                    if not self._pending:
                        return
                    name, content = next(iter(self._pending.items()))
                try:
                    self._store.write(name, content)
                except StorageError as error:
                    self._outage.failed(error)
                    raise
                self._outage.succeeded()
                with self._lock:
                    if self._pending.get(name) is content:  # else newer content is pending
                        del self._pending[name]

    def close(self) -> None:
        """Try once more to write all pending objects, and stop the thread within `CLOSE_S`."""
        self._closing.set()
        self._wake.set()
        self._thread.join(CLOSE_S)

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                self.flush()
            except StorageError:  # logged by `flush`
                self._closing.wait(RETRY_S)
            else:
                self._wake.wait()
            self._wake.clear()
        # The attempt that failed last may have begun long before `close`.
        with suppress(StorageError):
            self.flush()
