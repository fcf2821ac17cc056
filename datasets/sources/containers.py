"""Encoded images inside larger files (tars, Parquet, LMDB): the base of such sources.

This process reads, since reading is a few large requests; worker processes decode.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

from datasets.shards.splits import SPLITS, Split, named_file_split, split_of
from datasets.sources.base import BuildOptions, Source, Work, spread
from datasets.sources.photographs import Photo, work_on


class Row(NamedTuple):
    """One image of a container."""

    image: bytes
    attributes: dict[str, Any]


class Container(Protocol):
    """A file with images in a fixed order."""

    @property
    def name(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def count(self) -> int: ...

    def rows(self, wanted: Sequence[int]) -> Iterator[Row]:
        """The images of these numbers, which ascend; holds a bounded part in memory."""
        ...


class ContainerSource(Source):
    """The images of containers, with numbers for keys: those inside need not be unique.

    Folders or first words of names (`train-00000.tar`) decide the split where there are any;
    otherwise the last eighth is for tests.
    """

    def __init__(
        self,
        containers: Sequence[Container],
        options: BuildOptions,
        where: str,
        *,
        facts: Mapping[str, Any],
    ) -> None:
        """Raises `ConfigError` for fewer images than asked for; `where` is for its message."""
        splits = {c.name: named_file_split(c.name) for c in containers}
        self._named = any(splits.values())
        self._splits: dict[str, Split] = {n: split or "train" for n, split in splits.items()}
        self._containers = sorted(
            containers, key=lambda c: (SPLITS.index(self._splits[c.name]), c.name)
        )
        self._ends = list(accumulate(container.count for container in self._containers))
        total = self._ends[-1] if self._ends else 0
        self._numbers = spread(range(total), options.images, where)
        self._geometry = options.geometry
        self._facts = dict(facts)
        self.count = len(self._numbers)

    def work(self, first: int) -> Iterator[Work]:
        return work_on(self._photos(first), self._geometry)

    def describe(self) -> dict[str, Any]:
        listing = hashlib.sha256()
        for container in self._containers:
            listing.update(f"{container.name}\0{container.size_bytes}\n".encode())
        return {
            **self._facts,
            "images": self.count,
            **self._geometry.describe(),
            "files_sha256": listing.hexdigest(),
        }

    def _photos(self, first: int) -> Iterator[Photo]:
        place, start = first, 0
        for number, (container, end) in enumerate(zip(self._containers, self._ends, strict=True)):
            wanted: list[int] = []
            while place + len(wanted) < self.count and self._numbers[place + len(wanted)] < end:
                wanted.append(self._numbers[place + len(wanted)] - start)
            for row_number, row in zip(wanted, container.rows(wanted), strict=True):
                yield Photo(
                    key=f"{number:05d}-{row_number:08d}",
                    split=self._split(place, container),
                    name=f"image {row_number} of {container.name}",
                    image=row.image,
                    attributes=row.attributes,
                )
                place += 1
            start = end

    def _split(self, place: int, container: Container) -> Split:
        return self._splits[container.name] if self._named else split_of(place, self.count)
