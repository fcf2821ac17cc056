"""The lists of CelebA: partitions and attributes, as published (.txt) or as on Kaggle (.csv)."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from datasets.inputs.matching import stem_of
from ganinv.errors import DataError

PARTITIONS, ATTRIBUTES = "list_eval_partition", "list_attr_celeba"
# The archives unpack into folders `Eval` and `Anno`; some mirrors drop or repeat these folders.
_FOLDERS = (".", "Eval", "Anno")
_ENDINGS = (".txt", ".csv")
_NO, _YES = ("-1", "0"), "1"  # some mirrors write 0 instead of -1


class _Line(NamedTuple):
    number: int
    words: list[str]


def find_list(images: Path, given: Path, name: str) -> Path | None:
    """The list beside the images, or above them up to the folder above `given`; None if missing."""
    above = [images, *images.parents]
    places = above[: above.index(given) + 2]
    paths = (p / folder / f"{name}{e}" for p in places for folder in _FOLDERS for e in _ENDINGS)
    return next((path for path in paths if path.is_file()), None)


def read_partitions(path: Path) -> dict[str, str]:
    """Stem of an image (`stem_of`) → "0" for training, "1" for validation, "2" for tests.

    Raises `DataError` for a corrupt list.
    """
    found = {}
    for line in _lines(path):
        if len(line.words) != 2 or line.words[1] not in ("0", "1", "2"):
            if line.number == 1 and path.suffix == ".csv":
                continue  # its header
            raise _corrupt(path, line.number, "an image and 0, 1 or 2")
        found[stem_of(line.words[0])] = line.words[1]
    return found


def read_attributes(path: Path) -> dict[str, dict[str, int]]:
    """Stem of an image (`stem_of`) → attributes, 1 for yes and -1 for no.

    Published lists hold a count, then the names of the attributes, then one line per image. Raises
    `DataError` for a corrupt list.
    """
    lines = _lines(path)
    if path.suffix != ".csv":
        next(lines, None)
    header = next(lines, _Line(0, []))
    names = header.words[1:] if path.suffix == ".csv" else header.words
    found = {}
    for line in lines:
        file_name, *values = line.words
        if len(values) != len(names) or not {*_NO, _YES}.issuperset(values):
            raise _corrupt(path, line.number, f"{len(names)} values of 1 or -1")
        found[stem_of(file_name)] = {
            name: 1 if value == _YES else -1 for name, value in zip(names, values, strict=True)
        }
    return found


def _lines(path: Path) -> Iterator[_Line]:
    """The words of each line that is not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, text in enumerate(file, start=1):
                words = next(csv.reader([text])) if path.suffix == ".csv" else text.split()
                if any(word.strip() for word in words):
                    yield _Line(number, [word.strip() for word in words])
    except (UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{path} is not a list of CelebA ({problem}); fetch it again") from problem


def _corrupt(path: Path, number: int, expected: str) -> DataError:
    return DataError(f"{path}: line {number} does not hold {expected}; fetch the file again")
