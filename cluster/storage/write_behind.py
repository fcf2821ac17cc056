"""A store whose small writes happen later: training never waits for its logs.

What cannot be written is kept, the newest content of each name, and tried again; `flush` is for
those who must know that it is there.
"""

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cluster.storage.trouble import Trouble
from ganinv.errors import StorageError
from ganinv.seams.stores import Blobs, Entries, Range, Store

log = logging.getLogger(__name__)
RETRY_S = 10.0
CLOSE_S = 60.0
# Objects that may wait. A year of evaluations has fewer; what is beyond is dropped, oldest first.
MAX_PENDING = 1000


class WriteBehind:
    """Passes every verb on to `store`, writes of bytes from a thread of its own until `close`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: dict[str, bytes] = {}
        self._lock = threading.Lock()  # of what is pending
        self._writing = threading.Lock()  # so that no older content overtakes a newer one
        self._trouble = Trouble("write logs of the run", "keeping them to write later")
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
        """Returns at once; an error is said in the log, and the write is tried again."""
        content = data.read_bytes() if isinstance(data, Path) else bytes(data)
        with self._lock:
            self._pending.pop(name, None)
            self._pending[name] = content
            if len(self._pending) > MAX_PENDING:
                oldest = next(iter(self._pending))
                del self._pending[oldest]
                log.warning("%s could not be written for too long and is lost", oldest)
        self._wake.set()

    def write_if_absent(self, name: str, data: bytes) -> None:
        self._store.write_if_absent(name, data)

    def delete(self, names: Sequence[str]) -> None:
        self._store.delete(names)

    def flush(self) -> None:
        """Write all that waits; raises `StorageError` where that fails, and keeps it."""
        with self._writing:
            while True:
                with self._lock:
                    if not self._pending:
                        return
                    name, content = next(iter(self._pending.items()))
                try:
                    self._store.write(name, content)
                except StorageError as error:
                    self._trouble.failed(error)
                    raise
                self._trouble.over()
                with self._lock:
                    if self._pending.get(name) is content:  # else there is a newer one
                        del self._pending[name]

    def close(self) -> None:
        """Try once more what waits, and end; bounded."""
        self._closing.set()
        self._wake.set()
        self._thread.join(CLOSE_S)

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                self.flush()
            except StorageError:  # said by `flush`
                self._closing.wait(RETRY_S)
            else:
                self._wake.wait()
            self._wake.clear()
        # An attempt that failed just now may have begun long before `close`.
        with suppress(StorageError):
            self.flush()
