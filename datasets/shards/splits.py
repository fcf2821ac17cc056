"""The two splits of a data set, and how the names of folders and files decide the split."""

import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from ganinv.errors import ConfigError

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")

# Words that name a split. Validation images are not trained on, hence "test".
_WORDS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training", "trainset", "trn"),
    "test": (
        *("test", "testing", "testset", "tst", "val", "valid", "validate", "validation", "valset"),
        *("dev", "devel", "development", "devset", "eval", "evaluation", "heldout", "holdout"),
    ),
}
SPLIT_WORDS: dict[str, Split] = {word: split for split in SPLITS for word in _WORDS[split]}
# Words beside them that do not change what a name says: `train_images`, `test set`.
_FILLERS = frozenset(
    (
        *("set", "split", "data", "dataset", "image", "images", "img", "imgs"),
        *("photo", "photos", "picture", "pictures", "full"),
    )
)
_LISTED = 5  # names in a message


class _Named(NamedTuple):
    split: Split
    certain: bool
    """`train`, `val2017`, `test_images`, `trainA`; but `train_station` and `seg_test` are not."""


def split_of(position: int, count: int) -> Split:
    """The split of sample `position` of `count`: the last eighth (rounded down) is "test"."""
    return "test" if position >= count - count // 8 else "train"


def splits_by_name(names: Sequence[str], where: str, *, files: bool = False) -> list[Split] | None:
    """The split of each path, by its outermost folder that names one; None if no folder does.

    With `files`, the names of the files count, too (`train-00000.tar`). Names of several words
    (`seg_train`, `imagenet-val-000.tar`) count only if the names together name both splits,
    because a single one may mean something else (`train_station`).

    Raises `ConfigError` if some paths name a split and others do not; `where` begins the message.
    """
    found = _find(names, files)
    if not any(found):
        return None
    splits = [named.split for named in found if named]
    if len(splits) < len(names):
        raise _error(names, found, where)
    return splits


def splits_if_all_named(names: Sequence[str]) -> list[Split] | None:
    """The split of each path by its file's name, if all files name one, and both; else None."""
    if not names or _named(names[0].rpartition("/")[2], is_file=True) is None:
        return None  # quickly, because there may be millions
    splits = [named.split for named in _find(names, files=True) if named]
    return splits if len(splits) == len(names) and len(set(splits)) == len(SPLITS) else None


class _Found(NamedTuple):
    """The part of a path that decides its split."""

    split: Split
    depth: int
    """Number of folders above it."""


def _find(names: Sequence[str], files: bool) -> list[_Found | None]:
    paths = [_parts(name, files) for name in names]
    named = {part: _named(*part) for part in {part for path in paths for part in path}}
    both = len({found.split for found in named.values() if found}) == len(SPLITS)
    splits = {p: found.split for p, found in named.items() if found and (found.certain or both)}
    return [
        next((_Found(splits[part], i) for i, part in enumerate(path) if part in splits), None)
        for path in paths
    ]


def _parts(name: str, files: bool) -> list[tuple[str, bool]]:
    """The parts of a path that may name a split, and whether each is the name of a file."""
    *folders, file_name = name.split("/")
    return [(folder, False) for folder in folders] + ([(file_name, True)] if files else [])


def _named(part: str, is_file: bool) -> _Named | None:
    """The split that one part of a path names; None for no split and for both."""
    words = _words(PurePosixPath(part).stem if is_file else part)
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    if len(splits) != 1:
        return None
    others = [word for word in words if word not in SPLIT_WORDS]
    certain = all(len(word) <= 1 or word in _FILLERS for word in others)
    return _Named(splits.pop(), certain or (is_file and words[0] in SPLIT_WORDS))


def _words(name: str) -> list[str]:
    """`val2017` → val; `trainA` → train, a; `held-out` → heldout. Numbers are left out."""
    joined = re.sub(r"(?i)(held|hold)[^A-Za-z0-9]out", r"\1out", name)
    tokens = (token.rstrip("0123456789") for token in re.split(r"[\W_]+", joined))
    split = (re.sub(r"([a-z])([A-Z])", r"\1 \2", token).lower().split() for token in tokens)
    return [word for words in split for word in words]


def _error(names: Sequence[str], found: Sequence[_Found | None], where: str) -> ConfigError:
    """Lists the names that decide a split, and those beside them that do not."""
    known: dict[str, None] = {}
    for name, part in zip(names, found, strict=True):
        if part:
            known["/".join(name.split("/")[: part.depth + 1])] = None
    places = {name.rpartition("/")[0] for name in known}
    unknown = dict.fromkeys(
        _beside(name, places) for name, part in zip(names, found, strict=True) if not part
    )
    return ConfigError(
        f"{where}: the names {_listed(known)} decide the split, but say nothing about"
        f" {_listed(unknown)}; rename that to train, val or test, take it out, or give"
        " data.split_by_name=false, so that names do not count"
    )


def _beside(name: str, places: Collection[str]) -> str:
    """The start of a path that lies in the deepest of the places: its folder there, or its file."""
    parts = name.split("/")
    depths = (d for d in range(len(parts) - 1, 0, -1) if "/".join(parts[:d]) in places)
    return "/".join(parts[: next(depths, 0) + 1])


def _listed(names: Collection[str]) -> str:
    return ", ".join(list(names)[:_LISTED]) + (", …" if len(names) > _LISTED else "")
