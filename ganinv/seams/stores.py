"""What ganinv needs from storage: a folder of objects to read, or to read and write."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol


@dataclass(frozen=True, order=True, slots=True)
class Entry:
    """One stored object: its name below the store's root, with forward slashes, and its size."""

    name: str
    size_bytes: int
    version: str = field(default="", compare=False)
    """Differs if the object may have changed: its ETag, or its modification time and inode."""


class Range(NamedTuple):
    """Bytes `start` up to, not including, `end` of the object `name`."""

    name: str
    start: int
    end: int


# Named outside the class, because its method `list` hides the built-in type.
Entries = list[Entry]
Blobs = list[bytes]


class Reader(Protocol):
    """A folder of objects to read: a directory on disk or a prefix in a bucket.

    Every method raises `StorageMissingError` for a name that does not exist, and `StorageError` for
    any other failure. The message gives the URL, the reason and the remedy.
    """

    @property
    def url(self) -> str: ...

    def list(self, prefix: str = "") -> Entries:
        """All objects whose name starts with `prefix`, sorted by name; empty if there are none."""
        ...

    def read(self, name: str) -> bytes: ...


class Store(Reader, Protocol):
    """A folder of objects to read and write. Its methods raise as those of `Reader` do.

    Writes are atomic: a reader sees a whole object or no object.
    """

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        """The bytes of each range, in order, fetched concurrently. Too few bytes are an error."""
        ...

    def write(self, name: str, data: bytes | memoryview | Path) -> None:
        """Create or replace an object, from contiguous memory or from a file."""
        ...

    def write_if_absent(self, name: str, data: bytes) -> None:
        """Create an object, atomically; raises `StorageExistsError` if the name is taken."""
        ...

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; a name that does not exist is not an error."""
        ...
