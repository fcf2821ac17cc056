"""Runs `ganinv train` several times, side by side or one after the other.

Every training is a process with a Ray driver of its own, as if a person had typed the command. On a
cluster each is a job of Ray's there, and waits for room by itself. Ray Tune would run the training
function inside of its trials instead, without the driver: without the lease, the resuming and the
records that make a run one; and a grid needs none of its schedulers.
"""

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cluster.jobs.shipping import CHECKOUT
from cluster.processes import STOP_DEADLINE_S, Process
from launch import signals

POLL_S = 0.5
PROGRESS = re.compile(r"^(\d+)/(\d+) images *(.*)$")
ERROR = re.compile(r"^error: ", re.MULTILINE)
LONGEST_REASON = 2_000  # characters


class Job(NamedTuple):
    """One command."""

    name: str
    command: Sequence[str]


class Ended(NamedTuple):
    """How the command ended; `status` as the shell knows it, negative for a signal."""

    status: int
    output: str

    @property
    def reason(self) -> str:
        """What the command said last: its error, if there is one."""
        text = self.output.strip()
        errors = list(ERROR.finditer(text))
        said = text[errors[-1].end() :] if errors else text.rpartition("\n")[2]
        return said[:LONGEST_REASON] or f"ended with status {self.status}"


class Progress(NamedTuple):
    """What a training last said about itself."""

    images_seen: int
    figures: str


@dataclass(kw_only=True)
class _Running:
    job: Job
    slot: int
    process: "subprocess.Popen[bytes]"
    descriptor: int  # becomes readable when the process ends
    output: BinaryIO
    read: int = 0  # bytes of the output


def training_command(recipe: str, options: Sequence[str]) -> list[str]:
    """`ganinv train` in this checkout, for `run_jobs`."""
    # Not `python -m` alone: the current folder, where the user's paths begin, must not come first.
    return [sys.executable, "-P", "-m", "launch", "train", recipe, *options]


def run_jobs(
    jobs: Sequence[Job],
    environments: Sequence[Mapping[str, str]],
    *,
    started: Callable[[Job], None],
    progressed: Callable[[Job, Progress], None],
    ended: Callable[[Job, Ended], None],
) -> bool:
    """Run all jobs, as many at once as there are `environments`, which are added to this one.

    False if a signal stopped them: then they have saved, and no further one was started. Only the
    main thread may call this.
    """
    waiting, running = list(jobs), list[_Running]()
    with (
        tempfile.TemporaryDirectory(prefix="ganinv-sweep-") as folder,
        ExitStack() as opened,
        signals.collected() as asked,
    ):
        opened.callback(_end_all, running)
        stopping = False
        while running or (waiting and not stopping):
            free = sorted(set(range(len(environments))) - {one.slot for one in running})
            for slot in free if not stopping else ():
                if waiting:
                    job = waiting.pop(0)
                    running.append(_start(job, slot, environments[slot], Path(folder), opened))
                    started(job)
            select.select([one.descriptor for one in running], [], [], POLL_S)
            if asked and not stopping:
                stopping = True
                for one in running:
                    one.process.send_signal(signal.SIGTERM)
            for one in list(running):
                _follow(one, progressed)
                if (status := one.process.poll()) is not None:
                    running.remove(one)
                    os.close(one.descriptor)
                    ended(one.job, Ended(status, _text(one.output)))
    return not stopping


def _start(
    job: Job, slot: int, environment: Mapping[str, str], folder: Path, opened: ExitStack
) -> _Running:
    output = opened.enter_context((folder / job.name).open("w+b"))
    process = subprocess.Popen(  # noqa: S603 (our own command, no shell)
        [*job.command],
        env={**os.environ, "PYTHONPATH": _python_path(), **environment},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches this process, which asks them to save
    )
    descriptor = os.pidfd_open(process.pid)
    return _Running(job=job, slot=slot, process=process, descriptor=descriptor, output=output)


def _python_path() -> str:
    given = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(CHECKOUT), given] if given else [str(CHECKOUT)])


def _follow(one: _Running, progressed: Callable[[Job, Progress], None]) -> None:
    """Tell the newest progress in what the process has written since the last call."""
    new = os.pread(one.output.fileno(), 1 << 20, one.read)
    whole = new[: new.rfind(b"\n") + 1]
    one.read += len(whole)
    for line in reversed(whole.decode(errors="replace").splitlines()):
        if found := PROGRESS.match(line):
            progressed(one.job, Progress(int(found[1]), found[3]))
            return


def _text(output: BinaryIO) -> str:
    output.seek(0)
    return output.read().decode(errors="replace")


def _end_all(running: Sequence[_Running]) -> None:
    """After a second Ctrl-C or an error here: they end without saving."""
    for one in running:
        one.process.send_signal(signal.SIGINT)
    for one in running:
        Process.of(one.process.pid).stop(STOP_DEADLINE_S)
        one.process.poll()
        os.close(one.descriptor)
