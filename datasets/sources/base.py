"""What a data set is before it is shards: a named, seeded, sorted stream of equal-sized images.

A new data set is one file `datasets/NAME.py` with a function
`source(options: BuildOptions, inputs: Inputs) -> Source`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from datasets.parallel import Progress
from datasets.shards.splits import Split
from datasets.sources.geometry import CROP, Geometry, parse_geometry
from ganinv.errors import ConfigError

if TYPE_CHECKING:  # worker processes import this module, and need no torch
    from ganinv.seams.stores import Store


Item = TypeVar("Item")

_MIB = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildOptions:
    """Options of `data build`; raises one `ConfigError` for all values outside their range."""

    images: int | None = None
    """How many images; None: what the source has by default, all of those that are read."""
    resolution: int | str = 32
    """Pixels a side, or `WIDTHxHEIGHT`."""
    resize: str = CROP
    """What makes photographs fit: `crop` or `stretch`, see `Geometry`."""
    seed: int = 0
    """Names the random numbers of a procedural source; others ignore it."""
    shard_bytes: int = 64 * _MIB
    """A shard is closed once it holds this many bytes."""
    input: str | None = None
    """Where a built-in source reads from: a directory, or a URL where the source says so."""
    attributes: Path | None = None
    """Folder only: a CSV or JSONL file with one row per image, its path in the column `file`."""
    image_column: str | None = None
    """Parquet only: the column with the images; None: the only one that can be."""
    max_unreadable: float = 0.01
    """The largest ratio, 0–1, of unreadable images that are skipped."""
    drop_duplicates: bool = False
    """Leave out images whose pixels came before, instead of only reporting them."""
    workers: int | None = None
    """Processes that draw, decode and encode; None: one a core, if there is enough to do."""

    def __post_init__(self) -> None:
        problems = []
        try:
            parse_geometry(self.resolution, self.resize)
        except ConfigError as problem:
            problems.append(str(problem))
        if self.images is not None and self.images < 1:
            problems.append(f"data.images={self.images} is below 1; ask for at least one image")
        if self.workers is not None and self.workers < 1:
            problems.append(f"data.workers={self.workers} is below 1; ask for at least one")
        if self.shard_bytes < _MIB:
            problems.append(
                f"data.shard_bytes={self.shard_bytes} is below 1 MiB ({_MIB}), which makes far"
                " too many small objects; ask for more"
            )
        if not 0 <= self.max_unreadable <= 1:
            problems.append(f"data.max_unreadable={self.max_unreadable} is not a ratio within 0–1")
        if problems:
            raise ConfigError("; ".join(problems))

    @property
    def geometry(self) -> Geometry:
        """The size of the images, and how they come to it."""
        return parse_geometry(self.resolution, self.resize)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sample:
    """One image on its way into a shard."""

    key: str
    """Unique, at most 80 of the characters A–Z a–z 0–9 _ -."""
    image_HWC: NDArray[np.uint8]
    """RGB, of the size that was asked for."""
    attributes: dict[str, Any]
    """What is known of the image; plain JSON values."""
    split: Split


class Skipped(NamedTuple):
    """An input that a source left out, and why."""

    path: str
    reason: str


# A piece of a source: a call that pickles and needs nothing else. It returns something for every
# sample that it stands for, in order.
Work = Callable[[], Sequence[Sample | Skipped]]


class Source(Protocol):
    """A finite, repeatable stream of samples, as work that processes can share."""

    count: int
    """Samples there are, those not yet known to be unreadable included."""

    def work(self, first: int) -> Iterator[Work]:
        """All samples from number `first` on: train before test, and sorted by key in each.

        The same ones on every call, whatever `first` is and however they are cut into pieces.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What makes this data set what it is, as JSON: equal descriptions mean equal images."""
        ...

    def samples(self) -> Iterator[Sample]:
        """All samples that can be read, made in this process."""
        for work in self.work(0):
            yield from (sample for sample in work() if isinstance(sample, Sample))


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """How sources get at what they read."""

    open_store: Callable[[str], "Store"]
    """The store at a directory or URL."""
    watching: Callable[[str], Progress]
    """A bar with a title, for long looks at the input before anything is made."""


def spread(items: Sequence[Item], wanted: int | None, where: str) -> list[Item]:
    """`wanted` of the items (None: all), spread evenly, so that every part of them is there.

    Raises `ConfigError` if there are fewer, or none; `where` is for its message.
    """
    count = len(items) if wanted is None else wanted
    if not items or count > len(items):
        raise ConfigError(
            f"{where} holds {len(items)} images and {max(count, 1)} were asked for; lower"
            " data.images, or name another place"
        )
    return [items[i * len(items) // count] for i in range(count)]


def input_folder(options: BuildOptions, source: str) -> Path:
    """The directory `data.input`, for sources that read local files alone.

    Raises `ConfigError` if it is not given or not there.
    """
    if options.input is None:
        raise ConfigError(f"data.input is missing: it says where {source} lies; give data.input=…")
    folder = Path(options.input).expanduser()
    if not folder.is_dir():
        raise ConfigError(
            f"data.input={options.input} is no directory on this machine, which is what {source}"
            " is read from; name one"
        )
    return folder
