"""Results on this disk that replace those of an earlier command as a whole, or not at all."""

import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ganinv.errors import ConfigError


@contextmanager
def replaced_results(target: Path, old: Iterable[str]) -> Iterator[Path]:
    """A new folder for all results; they replace those in `target` if the block succeeds.

    `old`: names of earlier results, files or folders, which go even if no new ones replace them. If
    the block fails, the results in `target` stay as they are. Nothing else there is touched.
    """
    target.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="unfinished-", dir=target) as made:
        yield Path(made)
        for name in old:
            if (target / name).is_dir():
                shutil.rmtree(target / name)
            else:
                (target / name).unlink(missing_ok=True)
        for path in Path(made).iterdir():
            path.replace(target / path.name)


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """A new file that takes the place of `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="unfinished-", dir=path.parent) as made:
        yield Path(made) / path.name
        (Path(made) / path.name).replace(path)


def check_empty(target: Path, section: str, *, overwrite: bool) -> None:
    """Raises `ConfigError` unless the folder `SECTION.to` is new, empty, or may be overwritten."""
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not overwrite)):
        raise ConfigError(
            f"{section}.to = {target}: exists already and is not an empty folder; choose another "
            f"one, or give {section}.overwrite=true"
        )


def check_own(
    target: Path, section: str, folders: Iterable[str], record: str, listed: Collection[str]
) -> None:
    """Raises `ConfigError` if one of the `folders` holds what no such command has written.

    `listed`: the files that the `record` of earlier results names.
    """
    own = {target / name for name in listed}
    for name in folders:
        foreign = next((path for path in files_in(target / name) if path not in own), None)
        if foreign is not None:
            raise ConfigError(
                f"{section}.to = {target}: {section}.overwrite=true replaces {name}/, but {record} "
                f"does not list {foreign}; move it away, or choose another folder"
            )


def files_in(folder: Path) -> Iterator[Path]:
    """Files, and links to files and folders, at any depth; also the folder, if it is none."""
    if folder.is_symlink() or folder.is_file():
        yield folder
        return
    for where, folders, files in os.walk(folder):
        yield from (Path(where, name) for name in files)
        yield from (path for name in folders if (path := Path(where, name)).is_symlink())
