"""Several commands use one object store: it is stopped by the last of them, and by no other.

Every command holds a shared lock on a file of the store's directory. The kernel releases the lock
when its holder ends, however it ends.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cluster.seaweed import store as seaweed
from cluster.seaweed.store import ObjectStore
from ganinv.errors import StorageError


@contextmanager
def running(directory: Path, buckets: Sequence[str] = ()) -> Iterator[ObjectStore]:
    """The running store of `directory`, started unless it runs.

    The context's end stops the store only if such a context has started it and no other command is
    inside of one: the last one out stops the store. Raises `StorageError` as `seaweed.start` does.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _shared(directory) as use:
        try:
            yield seaweed.start(directory, buckets, until_unused=True)
        finally:
            seaweed.stop_unused(directory, use.is_the_last)


@contextmanager
def unused(directory: Path) -> Iterator[None]:
    """Keeps other commands out of `running`. Raises `StorageError` if one is inside already."""
    with _shared(directory) as use:
        if not use.is_the_last():
            raise StorageError(
                f"another command uses the object store of {directory}; wait for that command or "
                "end it"
            )
        yield


class Use:
    """One of the commands that use a directory at present."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def is_the_last(self) -> bool:
        """Whether no other command uses the directory. If so, no other one can until the end."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._file, fcntl.LOCK_SH)  # a failed conversion releases the lock
            return False
        return True


@contextmanager
def _shared(directory: Path) -> Iterator[Use]:
    """Use `directory` together with other commands, until the context ends.

    Raises `StorageError` if another command keeps all others out.
    """
    with (directory / "users").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(
                f"another command stops or removes the object store of {directory}; repeat this "
                "command when that one has ended"
            ) from error
        yield Use(file)
