"""Reading through one object of a store by few ranged reads, with bounded memory."""

import hashlib

from ganinv.seams.stores import Range, Store

# What follows closely is read through, in large pieces; over larger gaps the reader hops.
_THROUGH_BYTES = 4 * 2**20
_HOP_BYTES = 64 * 2**10
_GAP_BYTES = 2**20


class Window:
    """Bytes of an object, by reads that never go back before the start of the last one.

    Holds what was asked for last and one piece more.
    """

    def __init__(self, store: Store, name: str, size_bytes: int, *, whole: bool) -> None:
        """`whole`: fetch every byte, for `sha256`; otherwise only what lies near the reads."""
        self.size_bytes = size_bytes
        self.read_bytes = 0
        self._store = store
        self._name = name
        self._whole = whole
        self._start = 0
        self._data = b""
        self._sha256 = hashlib.sha256()

    def read(self, start: int, end: int) -> bytes:
        """Bytes `start` up to, not including, `end`, both within the object."""
        assert self._start <= start <= end <= self.size_bytes, (self._start, start, end)
        if end > self._reached:
            if self._whole:
                self._read_through(start, end)
            else:
                self._hop(start, end)
        return self._data[start - self._start : end - self._start]

    def sha256(self) -> str:
        """Of the whole object; reads what is left of it."""
        assert self._whole
        while self._reached < self.size_bytes:
            self._read_through(self._reached, self._reached + 1)
        return self._sha256.hexdigest()

    @property
    def _reached(self) -> int:
        return self._start + len(self._data)

    def _read_through(self, start: int, end: int) -> None:
        while (reached := self._reached) < end:
            more = self._get(reached, reached + _THROUGH_BYTES)
            self._sha256.update(more)
            passed = min(max(0, start - self._start), len(self._data) + len(more))
            self._data = (self._data + more)[passed:]
            self._start += passed

    def _hop(self, start: int, end: int) -> None:
        reached = self._reached
        near = self.read_bytes > 0 and start - reached <= _GAP_BYTES
        first = max(start, reached)
        more = self._get(first, max(end, first + (_THROUGH_BYTES if near else _HOP_BYTES)))
        self._data = self._data[start - self._start :] + more
        self._start = start

    def _get(self, start: int, end: int) -> bytes:
        (data,) = self._store.read_ranges([Range(self._name, start, min(end, self.size_bytes))])
        self.read_bytes += len(data)
        return data
