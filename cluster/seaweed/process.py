"""A server's process that cannot be mistaken for another, its lock and its private files."""

import fcntl
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.processes import start_of
from ganinv.errors import StorageError

_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process for good: its number may be given to another one after its end."""

    pid: int
    """Number of the process, which is also its session's."""
    started: str
    """Boot and clock tick of its start; with the number they are unique."""

    @classmethod
    def of(cls, pid: int) -> "Process":
        """The process that has the number now; raises StorageError if it has ended already."""
        started = start_of(pid)
        if started is None:
            raise StorageError(f"the object store's process {pid} ended at once; start it again")
        return cls(pid=pid, started=started)

    def alive(self) -> bool:
        return start_of(self.pid) == self.started

    def end(self, deadline_s: float) -> bool:
        """Ask it to end, and kill it after `deadline_s`; returns whether it was alive."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # The descriptor stands for one process, so what holds now holds for the signals.
            if not self.alive():
                return False
            self._signal_until_gone(descriptor, deadline_s)
        finally:
            os.close(descriptor)
        # If it is not this process's child, whoever adopted it takes care of what remains.
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return True

    def _signal_until_gone(self, descriptor: int, deadline_s: float) -> None:
        gone = select.poll()
        gone.register(descriptor, select.POLLIN)
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                signal.pidfd_send_signal(descriptor, number)
            except ProcessLookupError:
                return
            if gone.poll(deadline_s * 1000):
                return
        raise StorageError(
            f"the object store's process {self.pid} outlived SIGKILL for {deadline_s:g} s; "
            "look for a disk that hangs"
        )


def poll_until(done: Callable[[], bool], deadline_s: float) -> bool:
    """Ask `done` again and again; returns whether it came true within `deadline_s`."""
    end = time.monotonic() + deadline_s
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


@contextmanager
def exclusively(directory: Path, deadline_s: float) -> Iterator[None]:
    """Hold the lock of `directory`, which goes with its holder; StorageError after `deadline_s`."""
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
                f"for {deadline_s:g} s; wait for it or end it"
            )
        yield


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Replace a JSON file that only its owner may read, whole or not at all."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:  # noqa: PTH123 (a descriptor has no path)
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_private(path: Path) -> dict[str, Any] | None:
    """What `write_private` wrote; None if nothing was, StorageError if it is damaged."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        # Not chained, because the parser's error holds the text, which may be a secret.
        raise StorageError(f"{path} is damaged; remove it and start the store again") from None
    return content
