"""The object store's private directory: its lock, and JSON files that only the owner may read."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.processes import poll_until
from ganinv.errors import StorageError


@contextmanager
def exclusively(directory: Path, deadline_s: float) -> Iterator[None]:
    """Hold the lock of `directory`; raises `StorageError` if others hold it for `deadline_s`.

    The kernel releases the lock when its holder ends, however it ends.
    """
    with (directory / "lock").open("w") as file:

        def locked() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not poll_until(locked, deadline_s):
            raise StorageError(
                f"another command has been starting or stopping the object store of {directory} "
                f"for {deadline_s:g} s; wait for that command or end it"
            )
        yield


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Write or replace a JSON file that only its owner may read. The replacement is atomic."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:  # noqa: PTH123 (a descriptor has no path)
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_private(path: Path) -> dict[str, Any] | None:
    """The content of a file of `write_private`; None if there is no file.

    Raises `StorageError` if the file is corrupt.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        # Not chained, because the parser's error holds the text, which may be a secret.
        raise StorageError(f"{path} is corrupt; remove it and start the store again") from None
    return content
