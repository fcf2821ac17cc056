"""The two splits of a data set, and how the names of files decide the split of an image."""

import re
from collections.abc import Sequence
from typing import Literal

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")

# Folder names that decide the split. Validation images are not trained on, hence "test".
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "test": "test",
    "val": "test",
    "validation": "test",
}


def split_of(position: int, count: int) -> Split:
    """The split of sample `position` of `count`: the last eighth (rounded down) is "test"."""
    return "test" if position >= count - count // 8 else "train"


def named_split(parts: Sequence[str]) -> Split | None:
    """The split named by the outermost folder that names one; None if no folder does."""
    return next((SPLIT_NAMES[part.lower()] for part in parts if part.lower() in SPLIT_NAMES), None)


def named_file_split(name: str) -> Split | None:
    """The split named by a file's folders, or else by its first word (`train-00000.tar`)."""
    *folders, file_name = name.split("/")
    return named_split([*folders, re.split(r"[^A-Za-z]", file_name)[0]])
