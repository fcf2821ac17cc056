"""Objects of a store as files, for libraries that read from files."""

import io
from typing import Any

from ganinv.seams.stores import Range, Store


class ObjectFile(io.RawIOBase):
    """A readable, seekable file over an object of a store. Each read is one ranged read."""

    def __init__(self, store: Store, name: str, size_bytes: int) -> None:
        self._store = store
        self._name = name
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}
        self._position = max(0, base[whence] + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size_bytes)
        if end <= self._position:
            return 0
        (data,) = self._store.read_ranges([Range(self._name, self._position, end)])
        buffer[: len(data)] = data
        self._position = end
        return len(data)
