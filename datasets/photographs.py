"""The photographs of a folder as squares of one size; a few unreadable ones are left out."""

import functools
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.images import DECODE_ERRORS, FORMATS
from datasets.parallel import ordered_map
from datasets.source import Skipped
from ganinv.errors import DataError
from ganinv.squares import prepare

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
_LISTED = 20  # unreadable files that an error message names
_PARALLEL_FROM = 256  # photographs; starting processes costs more than decoding fewer


def list_photographs(folder: Path) -> list[str]:
    """Paths of jpg, png and webp files below `folder` with forward slashes, sorted.

    Hidden files and folders are left out, and links to folders not followed.
    """
    names = []
    for where, folders, file_names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in file_names:
            if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                names.append((Path(where) / name).relative_to(folder).as_posix())
    return sorted(names)


@dataclass(kw_only=True)
class Photographs:
    """The files `names` below `folder`, in that order; `option` names the ratio in messages."""

    folder: Path
    names: Sequence[str]
    resolution: int  # pixels a side
    max_unreadable: float  # largest ratio, 0–1, of files that are skipped
    option: str
    skipped: list[Skipped] = field(default_factory=list)  # by the last `read` so far

    def read(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Names and images, RGB uint8 H × W × 3, upright central squares.

        Raises `DataError` once more than the allowed ratio of files is unreadable, or all are.
        """
        self.skipped.clear()
        workers = os.cpu_count() or 1 if len(self.names) >= _PARALLEL_FROM else 1
        load = functools.partial(_load, self.folder, self.resolution)
        for name, loaded in zip(self.names, ordered_map(load, self.names, workers), strict=True):
            if isinstance(loaded, str):
                self._skip(name, loaded)
            else:
                yield name, loaded
        if len(self.skipped) == len(self.names):
            raise DataError(self._complaint())

    def _skip(self, name: str, reason: str) -> None:
        self.skipped.append(Skipped(name, reason))
        if len(self.skipped) > self.max_unreadable * len(self.names):
            raise DataError(self._complaint())

    def _complaint(self) -> str:
        listed = "; ".join(f"{name}: {reason}" for name, reason in self.skipped[:_LISTED])
        return (
            f"{len(self.skipped)} of {len(self.names)} files below {self.folder} are unreadable so"
            f" far ({listed}), over {self.option}={self.max_unreadable}; mend or remove them, or"
            " raise that ratio"
        )


def _load(folder: Path, resolution: int, name: str) -> NDArray[np.uint8] | str:
    """The image as RGB uint8 with H = W = resolution, or the reason why it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(folder / name, formats=FORMATS) as image:
                return np.array(prepare(image, resolution))
    except DataError as problem:
        return str(problem)
    except DECODE_ERRORS as problem:
        return f"{type(problem).__name__}: {problem}"
