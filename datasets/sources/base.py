"""The interface of a source: a repeatable, sorted stream of images of one size.

A new source is one file `datasets/sources/NAME.py` with a function
`source(options: BuildOptions, inputs: Inputs) -> Source`.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from datasets.inputs.left_out import LeftOut
from datasets.parallel import Progress
from datasets.shards.scan import UNREADABLE
from datasets.shards.splits import Split
from datasets.sources.geometry import Geometry, parse_geometry
from ganinv.alignment.transform import CROP
from ganinv.errors import ConfigError
from ganinv.kinds.converting import Pixels
from ganinv.kinds.kind import DEEP, RGB8, Kind
from ganinv.kinds.png import need_deep

if TYPE_CHECKING:  # worker processes import this module, and need no torch
    from ganinv.seams.stores import Store


Item = TypeVar("Item")

_MIB = 2**20
DEFAULT_MAX_PIXELS = 89_478_485  # from where Pillow warns of a decompression bomb
TIME, CONTENT = CHECKS = ("time", "content")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildOptions:
    """Options of `data build`; raises one `ConfigError` for all values outside their range."""

    images: int | None = None
    """How many images; None: all images of the input, or a drawn source's own default."""
    resolution: int | str = 32
    """Pixels a side, or `WIDTHxHEIGHT`."""
    resize: str = CROP
    """How photographs come to that size: `crop`, `stretch` or `pad`, see `Geometry`."""
    align: str | None = None
    """`faces`: photographs are cut to their largest face, as FFHQ is, instead of `resize`."""
    channels: int = 3
    """1: grey, 2: grey and opacity, 3: RGB, 4: RGB and opacity."""
    bits: int = 8
    """Of each channel, 8 or 16."""
    seed: int = 0
    """Seed of a source that draws its images; other sources ignore it."""
    shard_bytes: int = 64 * _MIB
    """A shard is closed once it holds this many bytes."""
    input: str | None = None
    """Where a built-in source reads from: a directory, or for some sources a URL."""
    attributes: Path | None = None
    """Folder only: a CSV or JSONL file with one row per image, its path in the column `file`."""
    image_column: str | None = None
    """Parquet only: the column with the images; None: the only column that can hold images."""
    max_unreadable: float = 0.01
    """The largest ratio, 0–1, of unreadable images that are skipped."""
    max_pixels: int = DEFAULT_MAX_PIXELS
    """Photographs of more pixels than this are left out, because decoding them takes memory."""
    split_by_name: bool = True
    """False: names of folders and files do not decide the split."""
    drop_duplicates: bool = False
    """Leave out images with the pixels of an earlier image, instead of only reporting them."""
    check: str = TIME
    """When a repeated build compares the contents of its input with those that were built: if any
    file has another `time` (or size, inode, ETag), or always: `content`."""
    workers: int | None = None
    """Processes that draw, decode and encode; None: one per core, if there is enough to do."""

    def __post_init__(self) -> None:
        problems = []
        try:
            kind = self.kind
        except ConfigError as problem:
            problems.append(f"data.{problem}")
            kind = RGB8
        try:
            parse_geometry(self.resolution, self.resize, self.align, kind)
            if kind.bits == DEEP:
                need_deep(f"data.bits={DEEP}")
        except ConfigError as problem:
            problems.append(str(problem))
        if self.images is not None and self.images < 1:
            problems.append(f"data.images={self.images} is below 1; ask for at least one image")
        if self.workers is not None and self.workers < 1:
            problems.append(f"data.workers={self.workers} is below 1; ask for at least one")
        if self.shard_bytes < _MIB:
            problems.append(
                f"data.shard_bytes={self.shard_bytes} is below 1 MiB ({_MIB}), which makes far"
                " too many small objects; raise it"
            )
        if self.max_pixels < 1:
            problems.append(f"data.max_pixels={self.max_pixels} is below 1; raise it")
        if self.check not in CHECKS:
            problems.append(
                f"data.check={self.check} is not one of {', '.join(CHECKS)}; choose one"
            )
        if not 0 <= self.max_unreadable <= 1:
            problems.append(
                f"data.max_unreadable={self.max_unreadable} is not a ratio; give one within 0–1"
            )
        if problems:
            raise ConfigError("; ".join(problems))

    @property
    def geometry(self) -> Geometry:
        """The size of the images, and how photographs are resized to it."""
        return parse_geometry(self.resolution, self.resize, self.align, self.kind)

    @property
    def kind(self) -> Kind:
        """What the pixels are."""
        return Kind(channels=self.channels, bits=self.bits)

    def facts(self) -> dict[str, bool | int]:
        """The entries of `Source.description` for the choice of images; defaults are left out."""
        found: dict[str, bool | int] = {}
        if not self.split_by_name:
            found["split_by_name"] = False
        if self.max_pixels != DEFAULT_MAX_PIXELS:
            found["max_pixels"] = self.max_pixels
        return found


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sample:
    """One image that a source has read or drawn, to be put into a shard."""

    key: str
    """Unique, at most 80 of the characters A–Z a–z 0–9 _ -."""
    image_HWC: Pixels
    """Of the requested size; of the requested kind, or such that `as_kind` makes it that."""
    attributes: dict[str, Any]
    """Labels and other facts about the image; plain JSON values."""
    split: Split
    content: str = ""
    """`Content.digest` of the image as it was read; empty if it was drawn."""


class Skipped(NamedTuple):
    """An image that a source could not read, and why."""

    path: str
    reason: str
    """About this image alone."""
    content: str = ""
    """`Content.digest` of the image as it was read."""
    kind: str = UNREADABLE
    """The reason under which `LeftOut` counts it."""


class Content(NamedTuple):
    """What an image of the input was when it was read."""

    name: str
    """For messages."""
    digest: str
    """Hash of the encoded image, its key, split and attributes."""


# A piece of a source: a picklable call that returns one item per sample of the piece, in order.
Work = Callable[[], Sequence[Sample | Skipped]]


class Source(Protocol):
    """A finite, repeatable stream of samples, in pieces of work that processes can share."""

    count: int
    """Number of samples, including those that will turn out to be unreadable."""

    @property
    def left_out(self) -> LeftOut:
        """What the input holds beside these samples, known before any image is decoded."""
        return LeftOut()

    def work(self, first: int) -> Iterator[Work]:
        """All samples from number `first` on: train before test, each split sorted by key.

        Every call gives the same samples, whatever `first` is and however they are cut into pieces.
        """
        ...

    def description(self) -> dict[str, Any]:
        """JSON that says what the data set is made of, and is stored in its index.

        Equal descriptions mean equal images if the contents of the input are equal, too.
        """
        ...

    def stamp(self) -> str | None:
        """Changes if the contents of the input may have changed; None if the images are drawn.

        Found without reading images: names, sizes, modification times and inodes or ETags of the
        files, and all keys, splits and attributes that do not lie in these files.
        """
        return None

    def contents(self) -> Generator[Content, None, None]:
        """The contents of all samples, read or unreadable, in their order; nothing is decoded."""
        yield from ()

    def samples(self) -> Iterator[Sample]:
        """All readable samples, read or drawn in this process."""
        for work in self.work(0):
            yield from (sample for sample in work() if isinstance(sample, Sample))


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What sources need to read their input."""

    open_store: Callable[[str], "Store"]
    """Opens the store at a directory or URL."""
    show_progress: Callable[[str], Progress]
    """Opens a progress bar with a title, for scanning the input before the build starts."""


def spread(items: Sequence[Item], wanted: int | None, where: str) -> list[Item]:
    """`wanted` of the items (None: all), spread evenly over all of them.

    Raises `ConfigError` if there are fewer items, or none; `where` is for the message.
    """
    if not items:
        raise ConfigError(f"{where} holds no images; name another input")
    count = len(items) if wanted is None else wanted
    if count > len(items):
        raise ConfigError(
            f"{where} holds {len(items)} images, but {count} were requested; lower data.images, or"
            " name another input"
        )
    return [items[i * len(items) // count] for i in range(count)]


def check_training(splits: Iterable[Split], where: str) -> None:
    """Raises `ConfigError` if no image is for training; `where` names the input."""
    if "train" not in splits:
        raise ConfigError(
            f"{where}: all images are in the test split, so that nothing can be trained on; name"
            " the input that holds training images, too, or give data.split_by_name=false, so that"
            " names do not count"
        )
