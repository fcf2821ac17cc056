"""A store that counts requests and bytes: for Prometheus, and for tests."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ganinv.errors import StorageError
from ganinv.seams.stores import Blobs, Entries, Range, Store

# Called with the verb, its outcome (ok or the class of the error) and the bytes moved.
OnRequest = Callable[[str, str, int], None]
T = TypeVar("T")


class CountingStore:
    """Implements `seams.stores.Store`: forwards every verb to `store` and calls `on_request`."""

    def __init__(self, store: Store, on_request: OnRequest) -> None:
        self._store = store
        self._on_request = on_request

    @property
    def url(self) -> str:
        return self._store.url

    def list(self, prefix: str = "") -> Entries:
        return self._counted("list", lambda: self._store.list(prefix), lambda _: 0)

    def read(self, name: str) -> bytes:
        return self._counted("read", lambda: self._store.read(name), len)

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        return self._counted(
            "read", lambda: self._store.read_ranges(ranges), lambda blobs: sum(map(len, blobs))
        )

    def write(self, name: str, data: bytes | memoryview | Path) -> None:
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        self._counted("write", lambda: self._store.write(name, data), lambda _: size)

    def write_if_absent(self, name: str, data: bytes) -> None:
        self._counted("write", lambda: self._store.write_if_absent(name, data), lambda _: len(data))

    def delete(self, names: Sequence[str]) -> None:
        self._counted("delete", lambda: self._store.delete(names), lambda _: 0)

    def _counted(self, op: str, verb: Callable[[], T], size_of: Callable[[T], int]) -> T:
        try:
            result = verb()
        except StorageError as error:
            self._on_request(op, type(error).__name__, 0)
            raise
        self._on_request(op, "ok", size_of(result))
        return result
