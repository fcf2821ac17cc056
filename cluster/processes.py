"""Processes of this machine: start a server with a log file, identify it by record, and stop it.

A process number alone identifies nothing, because the kernel gives the number of an ended process
to a new one. The number together with the start time is unique.
"""

import os
import platform
import select
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ganinv.errors import ClusterError

STOP_DEADLINE_S = 20.0  # for a server to write what it holds in memory
KILLED_S = 10.0  # at least; a busy machine takes seconds to end what was killed
_POLL_S = 0.1
_LOG_TAIL_LINES = 15


def process_namespace() -> str:
    """Host, boot and PID namespace, within which a process number means the same process."""
    return f"{platform.node()}/{_boot_id()}/{Path('/proc/self/ns/pid').readlink()}"


def start_of(pid: int) -> str | None:
    """Boot and clock tick at which the process started; None if it does not exist or has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, start_ticks = fields[0], fields[19]
    return None if state in ("Z", "X") else f"{_boot_id()}/{start_ticks}"


def own_age_s() -> float:
    """Seconds since this process was started, imports included."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def poll_until(done: Callable[[], bool], deadline_s: float) -> bool:
    """Call `done` until it returns True; returns False if that takes longer than `deadline_s`."""
    end = time.monotonic() + deadline_s
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def children() -> set[int]:
    """Numbers of the processes that this process has started and that have not been waited for."""
    lists = Path("/proc/self/task").glob("*/children")
    return {int(number) for found in lists for number in found.read_text().split()}


@dataclass(frozen=True, kw_only=True)
class Process:
    """Identifies one process. Stored as a record, it lets another command find and stop it."""

    pid: int
    started: str
    """Boot and clock tick of its start, see `start_of`."""

    @classmethod
    def of(cls, pid: int) -> "Process":
        """The process that has the number now; one that has ended already is never alive."""
        return cls(pid=pid, started=start_of(pid) or "ended")

    def alive(self) -> bool:
        return start_of(self.pid) == self.started

    def stop(self, deadline_s: float) -> bool:
        """Send SIGTERM, and SIGKILL after `deadline_s`; returns whether the process was alive.

        Raises `ClusterError` if the process outlives SIGKILL by `deadline_s` and by `KILLED_S`.
        """
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # The descriptor stands for one process, so the signals reach the one checked here.
            if not self.alive():
                return False
            _signal_until_ended(descriptor, self.pid, deadline_s)
        finally:
            os.close(descriptor)
        # Our own child leaves its exit status to us; other processes have another parent.
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return True


def _signal_until_ended(descriptor: int, pid: int, deadline_s: float) -> None:
    ended = select.poll()
    ended.register(descriptor, select.POLLIN)
    killed_s = max(deadline_s, KILLED_S)
    for number, wait_s in ((signal.SIGTERM, deadline_s), (signal.SIGKILL, killed_s)):
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)
        if ended.poll(wait_s * 1000):
            return
    raise ClusterError(
        f"process {pid} outlived SIGKILL for {killed_s:g} s; look for a disk that hangs"
    )


class Server:
    """A server started by this process, in its own session; `close` stops it.

    The output goes to the file `log`, which is emptied first. `environment` is added to ours.
    """

    def __init__(
        self,
        name: str,
        url: str,
        command: list[str],
        log: Path,
        environment: dict[str, str],
        directory: Path | None = None,
    ) -> None:
        self.name = name
        self.url = url
        self.log = log
        with log.open("wb") as output:
            self._child = subprocess.Popen(  # noqa: S603 (our own command, no shell)
                command,
                cwd=directory,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal must reach only its starter
            )
        self.process = Process.of(self._child.pid)

    def check(self) -> None:
        """Raises `ClusterError`, with the end of the log, if the server has ended by itself."""
        status = self._child.poll()
        if status is not None:
            raise ClusterError(f"{self.name} has ended (status {status}): {self._log_tail()}")

    def await_ready(self, is_ready: Callable[[str], bool], deadline_s: float) -> None:
        """Wait until `is_ready(url)`.

        Raises `ClusterError`, with the end of the log, after the deadline or if the server ends.
        """

        def ready() -> bool:
            self.check()
            return is_ready(self.url)

        if not poll_until(ready, deadline_s):
            raise ClusterError(
                f"{self.name} does not answer at {self.url} after {deadline_s:g} s: "
                f"{self._log_tail()}"
            )

    def close(self) -> None:
        self.process.stop(STOP_DEADLINE_S)
        self._child.poll()  # `stop` may have collected the exit status already

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()[-_LOG_TAIL_LINES:]
        return "\n".join([*(lines or ["no output"]), f"(log: {self.log})"])
