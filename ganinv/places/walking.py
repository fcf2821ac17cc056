"""Listing the files below a directory. Links to directories are followed; loops are noticed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

_SYSTEM_FILES = frozenset((".DS_Store", "Thumbs.db", "desktop.ini", ".directory"))


def _enter(entry: os.DirEntry[str]) -> bool:
    del entry
    return True


def _ignore(entry: os.DirEntry[str]) -> None:
    del entry


def files_below(
    folder: Path,
    *,
    enter: Callable[[os.DirEntry[str]], bool] = _enter,
    on_loop: Callable[[os.DirEntry[str]], None] = _ignore,
    on_error: Callable[[OSError], None],
) -> Iterator[os.DirEntry[str]]:
    """All entries below `folder`, in no order, that are not directories: also links to nothing.

    `enter` may leave out directories. A link to a directory that contains the link is a loop: it
    is not followed, but passed to `on_loop`. `on_error` receives the errors of directories that
    cannot be listed, and may raise them.
    """
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [(str(folder), frozenset())]
    while waiting:
        where, above = waiting.pop()
        try:
            found = Path(where).stat()
            with os.scandir(where) as entries:
                inside = list(entries)
        except OSError as error:
            on_error(error)
            continue
        # Only directories on the way here make a loop. Two links to one directory elsewhere do not.
        here = above | {(found.st_dev, found.st_ino)}
        for entry in inside:
            if not _is_directory(entry):
                yield entry
            elif entry.is_symlink() and _identity(entry) in here:
                on_loop(entry)
            elif enter(entry):
                waiting.append((entry.path, here))


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a regular file, or a link to one; False for a link that leads nowhere."""
    try:
        return entry.is_file()
    except OSError:  # such as a link to itself
        return False


def is_system_file(name: str) -> bool:
    """Whether a file was made by the system: `._a.jpg` holds what macOS knows about `a.jpg`."""
    return name.startswith("._") or name in _SYSTEM_FILES


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(entry: os.DirEntry[str]) -> tuple[int, int]:
    found = entry.stat()
    return found.st_dev, found.st_ino
