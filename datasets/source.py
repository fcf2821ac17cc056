"""What a data set is before it is shards: a named, seeded, sorted stream of equal-sized images.

A new data set is one file `datasets/NAME.py` with a function `source(options) -> Source`.
"""

import ast
import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ganinv.errors import ConfigError

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")

# Folder names that decide a split; a validation set is held out, hence "test".
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "test": "test",
    "val": "test",
    "validation": "test",
}

# Called with images done, images in total (0 if unknown), bytes written or read so far.
Progress = Callable[[int, int, int], None]

_MIB = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildOptions:
    """Options of `data build`; raises `ConfigError` for values outside their range."""

    images: int | None = None
    """How many images; None: what the source has by default, for a folder all of it."""
    resolution: int = 32
    """Height and width of every image, in pixels."""
    seed: int = 0
    """Names the random numbers of a procedural source; a folder ignores it."""
    shard_bytes: int = 64 * _MIB
    """A shard is closed once it holds this many bytes."""
    attributes: Path | None = None
    """Folder only: a CSV or JSONL file with one row per image, its path in the column `file`."""
    max_unreadable: float = 0.01
    """Folder only: the largest ratio, 0–1, of unreadable files that are skipped."""

    def __post_init__(self) -> None:
        problems = []
        if self.images is not None and self.images < 1:
            problems.append(f"data.images={self.images} is below 1; ask for at least one image")
        if not 8 <= self.resolution <= 4096:
            problems.append(f"data.resolution={self.resolution} px is not within 8–4096")
        if self.shard_bytes < _MIB:
            problems.append(
                f"data.shard_bytes={self.shard_bytes} is below 1 MiB ({_MIB}), which makes far"
                " too many small objects; ask for more"
            )
        if not 0 <= self.max_unreadable <= 1:
            problems.append(f"data.max_unreadable={self.max_unreadable} is not a ratio within 0–1")
        if problems:
            raise ConfigError("; ".join(problems))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sample:
    """One image on its way into a shard."""

    key: str
    """Unique, at most 80 of the characters A–Z a–z 0–9 _ -."""
    image_HWC: NDArray[np.uint8]
    """RGB, H = W = the resolution."""
    attributes: dict[str, Any]
    """What is known of the image; plain JSON values."""
    split: Split


class Skipped(NamedTuple):
    """An input that a source left out, and why."""

    path: str
    reason: str


class Source(Protocol):
    """A finite, repeatable stream of samples."""

    @property
    def count(self) -> int:
        """Samples there are, those not yet known to be unreadable included."""
        ...

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Inputs that the last run of `samples` left out so far."""
        ...

    def samples(self) -> Iterator[Sample]:
        """All samples, sorted by key; the same ones on every call."""
        ...

    def describe(self) -> dict[str, Any]:
        """What makes this data set what it is, as JSON: equal descriptions mean equal images."""
        ...


def no_progress(done: int, total: int, size_bytes: int) -> None:
    """For those who do not watch."""


def split_of(position: int, count: int) -> Split:
    """The split of sample `position` of `count`: the last eighth (rounded down) is for tests."""
    return "test" if position >= count - count // 8 else "train"


def named_split(parts: Sequence[str]) -> Split | None:
    """The split that the folders of a path name, the outermost first; None if none does."""
    return next((SPLIT_NAMES[part.lower()] for part in parts if part.lower() in SPLIT_NAMES), None)


def source_names() -> list[str]:
    """Names of the built-in sources: the modules here that define a function `source`.

    Found in the text, since importing all of this package would pull in torch.
    """
    package = Path(__file__).parent
    names = []
    for module in pkgutil.iter_modules([str(package)]):
        tree = ast.parse((package / f"{module.name}.py").read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "source" for node in tree.body):
            names.append(module.name)
    return sorted(names)


def find_source(name_or_folder: str, options: BuildOptions) -> Source:
    """A built-in source by its name, else the images below a folder.

    Raises `ConfigError` if it is neither. Write `./NAME` for a folder named like a source.
    """
    names = source_names()
    if name_or_folder in names:
        module = importlib.import_module(f"datasets.{name_or_folder}")
        return cast(Source, module.source(options))
    if Path(name_or_folder).is_dir():
        # Imported here since that module is itself written against this one.
        from datasets.folder import FolderSource

        return FolderSource(Path(name_or_folder), options)
    nearest = difflib.get_close_matches(name_or_folder, names, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise ConfigError(
        f"source {name_or_folder!r} is neither a built-in data set ({', '.join(names)}) nor an"
        f" existing folder{hint or '; name one of them, or a folder of images'}"
    )
