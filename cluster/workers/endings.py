"""Why a worker group ended: Ray Train's error as one of our reasons, with a sentence for people."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ray

from cluster.machines.nodes import gone, on_node
from cluster.run_folder.group_history import Reason
from cluster.workers.chronicle import Seat
from ganinv.errors import GanInvError, StorageError

READ_S = 10.0  # for a node to tell what a worker of its left behind
READ_BYTES = 200_000
READ_AT_MOST = 4  # workers; the others wait for these
# What faulthandler writes when its time is up (`cluster.workers.watchdog`).
_TIMEOUT = re.compile(r"^Timeout \([\d:.]+\)!$", re.MULTILINE)
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<function>\S+)')


class Restart(Exception):  # noqa: N818 (no error: the group has saved, and is to go on as another)
    """Raised by every worker of a group that was asked to make way for another one."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """`not_started`: there was no room for the workers. `saved`: nothing is lost.

    `error`: what the run ends with, if it ends with this group.
    """

    reason: Reason | Literal["done", "not_started"]
    detail: str = ""
    saved: bool = False
    error: GanInvError | None = None


def ending_of(error: Exception, seats: Sequence[Seat]) -> Ending:
    """`error`: what Ray Train raised, or Ray of it; `seats`: where the group's workers were."""
    from ray.train.v2._internal.exceptions import (
        WorkerGroupStartupTimeoutError,
        WorkerHealthCheckFailedError,
        WorkerHealthCheckTimeoutError,
    )
    from ray.train.v2.api.exceptions import ControllerError, PreemptionError, WorkerGroupError

    if isinstance(error, ray.exceptions.RayError):
        return Ending(
            reason="failure", detail=f"Ray Train's controller was lost: {_last_line(error)}"
        )
    if isinstance(error, PreemptionError):
        return Ending(reason="preemption", detail="a node was taken before the workers had saved")
    if isinstance(error, ControllerError):
        failure = error.controller_failure
        started = not isinstance(failure, WorkerGroupStartupTimeoutError)
        return Ending(reason="failure" if started else "not_started", detail=_last_line(failure))
    assert isinstance(error, WorkerGroupError), error
    failures = dict(sorted(error.worker_failures.items()))
    # Ray Train gives what the training function raised as it is.
    of_workers = (WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError)
    raised = {rank: f for rank, f in failures.items() if not isinstance(f, of_workers)}
    for cause in raised.values():
        if isinstance(cause, Restart):
            return Ending(reason=cause.reason, saved=True)
    return _of_faults(failures, raised, seats)


def _of_faults(
    failures: Mapping[int, Exception], raised: Mapping[int, Exception], seats: Sequence[Seat]
) -> Ending:
    """The fault closest to the cause: what survivors raised follows from who died."""
    from ray.train.v2._internal.exceptions import WorkerHealthCheckTimeoutError

    silent = [seat for seat in seats if seat.rank not in raised]
    lost = gone(seat.node_id for seat in silent)
    for seat in silent:
        if seat.node_id in lost:
            return Ending(reason="node_lost", detail=f"the node of rank {seat.rank} is gone")
    for rank, failure in failures.items():
        if isinstance(failure, WorkerHealthCheckTimeoutError):
            return Ending(reason="hang", detail=f"rank {rank} does not answer; it was ended")
    died = [seat for seat in seats if seat.rank in failures and seat.rank not in raised]
    for seat, text in zip(died, _logs(died[:READ_AT_MOST]), strict=False):
        if (where := hung_at(text)) is not None:
            return Ending(
                reason="hang",
                detail=f"rank {seat.rank} made no step in time and ended itself {where}; the stack "
                f"of every thread is in {seat.log} on its node",
            )
    for rank, cause in raised.items():
        if isinstance(cause, StorageError):
            return Ending(reason="storage", detail=f"rank {rank}: {cause}", error=cause)
    if died:
        return Ending(reason="failure", detail=f"the process of rank {died[0].rank} died")
    rank, cause = next(iter(failures.items()))
    error = cause if isinstance(cause, GanInvError) else None
    return Ending(
        reason="failure",
        detail=f"rank {rank}: {type(cause).__name__}: {_last_line(cause)}",
        error=error,
    )


def hung_at(log: str) -> str | None:
    """Where the training thread stood when a watchdog's time was up; None if that was not."""
    matches = list(_TIMEOUT.finditer(log))
    if not matches:
        return None
    threads = log[matches[-1].end() :].split("\nThread ")
    stacks = [[*_FRAME.finditer(thread)] for thread in threads]
    # The training thread is the one that came through our loop; its innermost frame is first.
    ours = [stack for stack in stacks if any(f["function"] == "train_worker" for f in stack)]
    if not ours:
        return "at an unknown place"
    frame = ours[0][0]
    return f"in {frame['function']} ({Path(frame['file']).name}:{frame['line']})"


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _logs(seats: Sequence[Seat]) -> list[str]:
    """The ends of the workers' logs, read on their nodes; empty where that takes too long."""
    here = ray.get_runtime_context().get_node_id()
    tail = ray.remote(_tail)
    asked: dict[Seat, Any] = {
        seat: tail.options(
            num_cpus=0, max_retries=0, scheduling_strategy=on_node(seat.node_id)
        ).remote(seat.log)
        for seat in seats
        if seat.node_id != here
    }
    refs = list(asked.values())
    ready = ray.wait(refs, num_returns=len(refs), timeout=READ_S)[0] if refs else []
    texts = []
    for seat in seats:
        if seat not in asked:
            texts.append(_tail(seat.log))
            continue
        try:
            texts.append(ray.get(asked[seat]) if asked[seat] in ready else "")
        except ray.exceptions.RayError:
            texts.append("")  # its node was lost as well
    return texts


def _tail(path: str) -> str:
    if not path or not Path(path).is_file():
        return ""
    with Path(path).open("rb") as file:
        file.seek(-min(READ_BYTES, os.fstat(file.fileno()).st_size), os.SEEK_END)
        return file.read().decode(errors="replace")
