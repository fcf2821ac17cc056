"""Why a worker group ended: turns Ray Train's error into a reason and one sentence for people."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ray

from cluster.machines.nodes import lost_nodes, on_node
from cluster.run_folder.group_history import Reason
from cluster.workers.live_groups import WorkerLocation
from ganinv.errors import GanInvError, LeaseLostError, StorageContentError, StorageError

READ_S = 10.0  # time limit for reading the logs of dead workers on their nodes
READ_BYTES = 200_000  # from the end of each log
READ_AT_MOST = 4  # logs; one of the first dead workers is the cause
# What faulthandler writes when a watchdog's limit expires (`cluster.workers.watchdog`).
_TIMEOUT = re.compile(r"^Timeout \([\d:.]+\)!$", re.MULTILINE)
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<function>\S+)')


def no_restart_mends(error: GanInvError) -> bool:
    """Whether a new worker group would only meet the same error again.

    Requests to storage may succeed again: an outage ends, keys are renewed, a disk is cleared. What
    storage holds stays as it is, and so do options and data.
    """
    return not isinstance(error, StorageError) or isinstance(
        error, StorageContentError | LeaseLostError
    )


class Restart(Exception):  # noqa: N818 (not an error: the group has saved, a new group follows)
    """Every worker raises this once it has saved, so that a new group can start."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How one group ended.

    Reason `not_started`: the nodes had no room for the workers. `saved`: the group saved before it
    ended, so no image is lost. `error`: the run's error, if no further group follows.
    """

    reason: Reason | Literal["done", "not_started"]
    detail: str = ""
    saved: bool = False
    error: GanInvError | None = None


def ending_of(error: Exception, locations: Sequence[WorkerLocation]) -> Ending:
    """The ending that `error`, raised by Ray Train or by Ray, stands for.

    `locations`: where the group's workers ran.
    """
    from ray.train import ControllerError, PreemptionError, WorkerGroupError
    from ray.train.v2._internal.exceptions import (
        WorkerGroupStartupTimeoutError,
        WorkerHealthCheckFailedError,
        WorkerHealthCheckTimeoutError,
    )

    if isinstance(error, ray.exceptions.RayError):
        return Ending(
            reason="failure", detail=f"Ray Train's controller was lost: {_last_line(error)}"
        )
    if isinstance(error, PreemptionError):
        return Ending(reason="preemption", detail="a node was preempted before the workers saved")
    if isinstance(error, ControllerError):
        failure = error.controller_failure
        started = not isinstance(failure, WorkerGroupStartupTimeoutError)
        return Ending(reason="failure" if started else "not_started", detail=_last_line(failure))
    assert isinstance(error, WorkerGroupError), error
    failures = dict(sorted(error.worker_failures.items()))
    # Ray Train passes on unchanged what the training function raised.
    health_errors = (WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError)
    raised = {rank: f for rank, f in failures.items() if not isinstance(f, health_errors)}
    for cause in raised.values():
        if isinstance(cause, Restart):
            return Ending(reason=cause.reason, saved=True)
    return _cause_of(failures, raised, locations)


def _cause_of(
    failures: Mapping[int, Exception],
    raised: Mapping[int, Exception],
    locations: Sequence[WorkerLocation],
) -> Ending:
    """The fault closest to the cause. A death comes first: survivors raise errors because of it."""
    from ray.train.v2._internal.exceptions import WorkerHealthCheckTimeoutError

    silent = [worker for worker in locations if worker.rank not in raised]
    lost = lost_nodes(worker.node_id for worker in silent)
    for worker in silent:
        if worker.node_id in lost:
            return Ending(reason="node_lost", detail=f"the node of rank {worker.rank} is lost")
    for rank, failure in failures.items():
        if isinstance(failure, WorkerHealthCheckTimeoutError):
            return Ending(reason="hang", detail=f"rank {rank} did not answer and was killed")
    died = [w for w in locations if w.rank in failures and w.rank not in raised]
    for worker, text in zip(died, _logs(died[:READ_AT_MOST]), strict=False):
        if (where := hung_at(text)) is not None:
            return Ending(
                reason="hang",
                detail=f"rank {worker.rank} exceeded the time limit of a step and ended itself "
                f"{where}; the stack of every thread is in {worker.log} on its node",
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
    """Where the training thread was when the watchdog's limit expired; None if it did not."""
    matches = list(_TIMEOUT.finditer(log))
    if not matches:
        return None
    threads = log[matches[-1].end() :].split("\nThread ")
    stacks = [[*_FRAME.finditer(thread)] for thread in threads]
    # The training thread has `train_worker` in its stack; the innermost frame comes first.
    ours = [stack for stack in stacks if any(f["function"] == "train_worker" for f in stack)]
    if not ours:
        return "at an unknown place"
    frame = ours[0][0]
    return f"in {frame['function']} ({Path(frame['file']).name}:{frame['line']})"


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _logs(locations: Sequence[WorkerLocation]) -> list[str]:
    """The ends of the workers' logs, read on their nodes; empty where reading takes too long."""
    here = ray.get_runtime_context().get_node_id()
    tail = ray.remote(_tail)
    remote: dict[WorkerLocation, Any] = {
        worker: tail.options(
            num_cpus=0, max_retries=0, scheduling_strategy=on_node(worker.node_id)
        ).remote(worker.log)
        for worker in locations
        if worker.node_id != here
    }
    refs = list(remote.values())
    ready = ray.wait(refs, num_returns=len(refs), timeout=READ_S)[0] if refs else []
    texts = []
    for worker in locations:
        if worker not in remote:
            texts.append(_tail(worker.log))
            continue
        try:
            texts.append(ray.get(remote[worker]) if remote[worker] in ready else "")
        except ray.exceptions.RayError:
            texts.append("")  # the node was lost as well
    return texts


def _tail(path: str) -> str:
    if not path or not Path(path).is_file():
        return ""
    with Path(path).open("rb") as file:
        file.seek(-min(READ_BYTES, os.fstat(file.fileno()).st_size), os.SEEK_END)
        return file.read().decode(errors="replace")
