"""Reading one object of a store in ascending order, by few ranged reads, in bounded memory."""

import hashlib

from ganinv.seams.stores import Range, Store

# A read that follows the last one closely continues in large pieces. A read after a larger gap
# skips the gap and fetches a small piece.
_LARGE_PIECE_BYTES = 4 * 2**20
_SMALL_PIECE_BYTES = 64 * 2**10
_MAX_GAP_BYTES = 2**20


class SequentialReader:
    """Reads byte ranges of an object whose starts ascend.

    Holds the bytes since the start of the last read, plus at most one piece.
    """

    def __init__(self, store: Store, name: str, size_bytes: int, *, whole: bool) -> None:
        """`whole`: fetch every byte, as `sha256` needs; otherwise skip large gaps."""
        self.size_bytes = size_bytes
        self.read_bytes = 0
        """Bytes fetched from the store so far."""
        self._store = store
        self._name = name
        self._whole = whole
        self._start = 0
        self._data = b""
        self._sha256 = hashlib.sha256()

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` up to, not including, `end`, both within the object.

        `start` must not lie before the start of the last read.
        """
        assert self._start <= start <= end <= self.size_bytes, (self._start, start, end)
        if end > self._reached:
            if self._whole:
                self._read_through(start, end)
            else:
                self._skip_to(start, end)
        return self._data[start - self._start : end - self._start]

    def sha256(self) -> str:
        """SHA-256 of the whole object; reads the rest of the object."""
        assert self._whole
        while self._reached < self.size_bytes:
            self._read_through(self._reached, self._reached + 1)
        return self._sha256.hexdigest()

    @property
    def _reached(self) -> int:
        return self._start + len(self._data)

    def _read_through(self, start: int, end: int) -> None:
        while (reached := self._reached) < end:
            more = self._get(reached, reached + _LARGE_PIECE_BYTES)
            self._sha256.update(more)
            passed = min(max(0, start - self._start), len(self._data) + len(more))
            self._data = (self._data + more)[passed:]
            self._start += passed

    def _skip_to(self, start: int, end: int) -> None:
        reached = self._reached
        is_near = self.read_bytes > 0 and start - reached <= _MAX_GAP_BYTES
        first = max(start, reached)
        piece_bytes = _LARGE_PIECE_BYTES if is_near else _SMALL_PIECE_BYTES
        more = self._get(first, max(end, first + piece_bytes))
        self._data = self._data[start - self._start :] + more
        self._start = start

    def _get(self, start: int, end: int) -> bytes:
        (data,) = self._store.read_ranges([Range(self._name, start, min(end, self.size_bytes))])
        self.read_bytes += len(data)
        return data
