"""Base of sources that read encoded images from larger files (tars, Parquet, LMDB).

This process reads, because reading needs only a few large requests; worker processes decode.
"""

import hashlib
import json
from bisect import bisect_left
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

from datasets.inputs.left_out import LeftOut
from datasets.shards.splits import SPLITS, Split, split_of, splits_by_name
from datasets.sources.base import BuildOptions, Content, Source, Work, check_training, spread
from datasets.sources.photographs import Photo, read_contents, work_on


class ContainerImage(NamedTuple):
    """One image of a container, still encoded."""

    image: bytes
    attributes: dict[str, Any]
    problem: str | None = None
    """Why there is no image, if the container says so."""
    name: str | None = None
    """Its name in messages; None for its number in the container."""


class Container(Protocol):
    """A file that holds images in a fixed order."""

    @property
    def name(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def version(self) -> str:
        """As `Entry.version`."""
        ...

    @property
    def count(self) -> int:
        """Number of images."""
        ...

    def images(self, wanted: Sequence[int]) -> Iterator[ContainerImage]:
        """The images with the numbers `wanted`, which ascend; holds few of them in memory."""
        ...


class ContainerSource(Source):
    """The images of containers. Their keys are numbers, because keys in containers may repeat.

    Names of folders and containers (`train-00000.tar`) decide the split, if any name does
    (`shards.splits`); otherwise the last eighth is the test split.
    """

    def __init__(
        self,
        containers: Sequence[Container],
        options: BuildOptions,
        where: str,
        *,
        facts: Mapping[str, Any],
        left_out: LeftOut | None = None,
    ) -> None:
        """`facts`: the first entries of `description`; `where`: names the input in messages.

        Raises `ConfigError` if there are fewer images than requested, or none for training, or if
        some names decide the split and others do not; `DataError` if more of the input is left out
        than `options.max_unreadable`.
        """
        self._left_out = left_out or LeftOut()
        self._left_out.check(options.max_unreadable, "data.max_unreadable")
        names = [container.name for container in containers]
        named = splits_by_name(names, where, files=True) if options.split_by_name else None
        self._named = named is not None
        self._splits: dict[str, Split] = dict(
            zip(names, named or ["train"] * len(names), strict=True)
        )
        self._containers = sorted(
            containers, key=lambda c: (SPLITS.index(self._splits[c.name]), c.name)
        )
        self._ends = list(accumulate(container.count for container in self._containers))
        total = self._ends[-1] if self._ends else 0
        self._numbers = spread(range(total), options.images, where)
        check_training((self._splits[c.name] for c in self._containers if c.count), where)
        self._geometry = options.geometry
        self._max_pixels = options.max_pixels
        self._facts = dict(facts) | options.facts()
        self.count = len(self._numbers)

    @property
    def left_out(self) -> LeftOut:
        return self._left_out

    def work(self, first: int) -> Iterator[Work]:
        return work_on(self._photos(first), self._geometry, self._max_pixels)

    def description(self) -> dict[str, Any]:
        listing = hashlib.sha256()
        for container in self._containers:
            listing.update(f"{container.name}\0{container.size_bytes}\n".encode())
        return {
            **self._facts,
            "images": self.count,
            **self._geometry.facts(),
            "files_sha256": listing.hexdigest(),
        }

    def stamp(self) -> str:
        files = [(c.name, c.size_bytes, c.version) for c in self._containers]
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()

    def contents(self) -> Generator[Content, None, None]:
        return read_contents(self._photos(0))

    def _photos(self, first: int) -> Iterator[Photo]:
        position, start = first, 0
        for place, (container, end) in enumerate(zip(self._containers, self._ends, strict=True)):
            stop = bisect_left(self._numbers, end)
            wanted = [number - start for number in self._numbers[position:stop]]
            for image_number, found in zip(wanted, container.images(wanted), strict=True):
                yield Photo(
                    key=f"{place:05d}-{image_number:08d}",
                    split=self._split(position, container),
                    name=found.name or f"image {image_number} of {container.name}",
                    image=found.image,
                    attributes=found.attributes,
                    problem=found.problem,
                )
                position += 1
            start = end

    def _split(self, position: int, container: Container) -> Split:
        return self._splits[container.name] if self._named else split_of(position, self.count)
