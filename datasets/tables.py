"""Where the samples of a tar lie, as a table beside it: one JSON array a line."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np


class Member(NamedTuple):
    """Where one sample lies in its tar. `json_bytes` is 0 if it has no attributes.

    `image_crc32` is None if the image was not read as it was indexed.
    """

    key: str
    extension: str
    image_start: int
    image_bytes: int
    json_start: int
    json_bytes: int
    image_crc32: int | None = None


class Columns(NamedTuple):
    """Members by field: a few long tuples instead of many short ones.

    Python's garbage collector looks through every tuple that holds others, again and again.
    """

    key: tuple[str, ...]
    extension: tuple[str, ...]
    image_start: tuple[int, ...]
    image_bytes: tuple[int, ...]
    json_start: tuple[int, ...]
    json_bytes: tuple[int, ...]
    image_crc32: tuple[int | None, ...]

    def member(self, number: int) -> Member:
        return Member._make(column[number] for column in self)


def layout(members: Iterable[Member]) -> list[Member]:
    """The members without what only those know who have read them."""
    return [member._replace(image_crc32=None) for member in members]


def dump_table(members: Sequence[Member]) -> bytes:
    """One JSON array a line; short, since a loader fetches it beside the images."""
    lines = (json.dumps(member, separators=(",", ":")) for member in members)
    return "".join(f"{line}\n" for line in lines).encode()


class Table:
    """The members that `dump_table` wrote; runs of them are parsed as they are asked for.

    A loader holds a table per slot and needs a window of it: parsed, the tables of large shards
    would be most of its memory, and of the time that it takes to go on.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))

    def __len__(self) -> int:
        return len(self._ends)

    def members(self, first: int, count: int) -> list[Member]:
        """Members `first` up to, not including, `first + count`."""
        return [Member(*row) for row in self.rows(first, count)]

    def rows(self, first: int, count: int) -> list[list[Any]]:
        """The fields of so many members, in their order."""
        if not 0 <= first <= first + count <= len(self):
            raise IndexError((first, count))
        if not count:
            return []
        start = self._ends[first - 1] + 1 if first else 0
        lines = self._data[start : self._ends[first + count - 1]]
        # Lines hold no others, and one call for all of them is several times faster.
        rows: list[list[Any]] = json.loads(b"[%b]" % lines.replace(b"\n", b","))
        return rows

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members(0, len(self)))
