"""The reason of a group's end, derived from Ray Train's errors, and whether a group follows."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)

from cluster.config import ClusterConfig
from cluster.workers import endings, supervision
from cluster.workers.directory import Directory
from cluster.workers.endings import Ending, Restart, ending_of, no_restart_mends
from cluster.workers.live_groups import WorkerLocation
from ganinv.errors import (
    ClusterError,
    ConfigError,
    DataError,
    DivergenceError,
    GanInvError,
    LeaseLostError,
    StorageContentError,
    StorageError,
    StorageFullError,
    StorageMissingError,
    StorageUnavailableError,
)

LOCATIONS = [WorkerLocation(0, "here", ""), WorkerLocation(1, "there", "")]
DIED = WorkerHealthCheckFailedError("failed", RuntimeError("process died"))
HUNG = """Timeout (0:00:07)!
Thread 0x00007f (most recent call first):
  File "/x/threading.py", line 331 in wait
Thread 0x00007e (most recent call first):
  File "/x/torch/distributed/distributed_c10d.py", line 3000 in all_reduce
  File "/x/launch/wiring/worker.py", line 44 in train_worker
"""


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, socket.socket]]:
    """A listening socket in place of each raylet, by the ids of the nodes that Ray calls alive."""
    alive = {name: socket.create_server(("127.0.0.1", 0)) for name in ("here", "there")}
    rows = [
        {
            "NodeID": name,
            "NodeManagerAddress": "127.0.0.1",
            "NodeManagerPort": raylet.getsockname()[1],
        }
        for name, raylet in alive.items()
    ]
    monkeypatch.setattr(ray, "nodes", lambda: [{**r, "Alive": r["NodeID"] in alive} for r in rows])
    monkeypatch.setattr(endings, "_logs", lambda workers: [endings._tail(w.log) for w in workers])
    yield alive
    for raylet in alive.values():
        raylet.close()


def ended(**failures: Exception) -> Ending:
    by_rank = {int(rank.removeprefix("rank")): error for rank, error in failures.items()}
    return ending_of(WorkerGroupError("workers failed", by_rank), LOCATIONS)


Nodes = dict[str, socket.socket]


def test_a_death_comes_before_its_consequences(nodes: Nodes) -> None:
    end = ended(rank0=RuntimeError("connection closed by peer"), rank1=DIED)
    assert (end.reason, end.detail) == ("failure", "the process of rank 1 died")
    silent = WorkerHealthCheckTimeoutError("hanging for 8 s")
    end = ended(rank0=RuntimeError("connection closed by peer"), rank1=silent)
    assert (end.reason, end.detail) == ("hang", "rank 1 did not answer and was killed")
    nodes.pop("there").close()
    assert ended(rank0=RuntimeError("connection closed by peer"), rank1=DIED).reason == "node_lost"


def test_a_lost_node_is_detected_before_ray_reports_it(nodes: Nodes) -> None:
    nodes["there"].close()
    end = ended(rank0=RuntimeError("connection closed by peer"), rank1=DIED)
    assert (end.reason, end.detail) == ("node_lost", "the node of rank 1 is lost")
    # A worker that raised an error was alive, and so was its node.
    assert ended(rank0=RuntimeError("by itself"), rank1=RuntimeError("too")).reason == "failure"


def test_a_death_with_a_watchdogs_stacks_is_a_hang(nodes: Nodes, tmp_path: Path) -> None:
    log = tmp_path / "worker.err"
    log.write_text("something before\n" + HUNG)
    locations = [WorkerLocation(0, "here", str(log)), LOCATIONS[1]]
    end = ending_of(WorkerGroupError("", {0: DIED, 1: RuntimeError("closed")}), locations)
    assert end.reason == "hang"
    assert "rank 0 exceeded the time limit of a step" in end.detail
    assert "in all_reduce (distributed_c10d.py:3000)" in end.detail
    assert str(log) in end.detail


def test_errors_that_workers_raise(nodes: Nodes) -> None:
    end = ended(rank0=Restart("resize"), rank1=RuntimeError("connection closed"))
    assert (end.reason, end.saved) == ("resize", True)
    refused = StorageError("s3://b refuses")
    end = ended(rank0=RuntimeError("connection closed"), rank1=refused)
    assert (end.reason, end.error) == ("storage", refused)
    end = ended(rank1=ValueError("first line\nthe last line"))
    assert (end.reason, end.detail) == ("failure", "rank 1: ValueError: the last line")


def test_groups_that_did_not_start() -> None:
    timed_out = ControllerError(WorkerGroupStartupTimeoutError(2))
    assert ending_of(timed_out, []).reason == "not_started"
    failed = ControllerError(WorkerGroupStartupFailedError("a worker failed to initialize"))
    assert ending_of(failed, []).reason == "failure"


def test_a_lost_controller_is_a_failure() -> None:
    end = ending_of(ray.exceptions.ActorDiedError(), LOCATIONS)
    assert end.reason == "failure"
    assert end.detail.startswith("Ray Train's controller was lost: ")


class Handle:
    """A directory in this process, called like an actor."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.directory, name)

        class Method:
            @staticmethod
            def remote(*arguments: Any) -> Any:
                return asyncio.run(method(*arguments))

        return Method


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Handle]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(ray, "get", lambda value: value)
    handle = Handle(Directory("s3://b/run", "127.0.0.1", 0, [], lost=set[str]))
    yield handle
    handle.close.remote()


def supervised(
    monkeypatch: pytest.MonkeyPatch, handle: Handle, *ends: Ending | GanInvError, **options: Any
) -> tuple[GanInvError | None, int]:
    """Supervise groups that end with `ends`; returns the run's error and the number of groups.

    An error in `ends` is one that a worker reports itself.
    """
    groups = 0

    def run_group(*_: Any) -> Ending:
        nonlocal groups
        end = ends[groups]
        groups += 1
        if isinstance(end, GanInvError):
            handle.fail.remote(end)
            return Ending(reason="failure")
        return end

    monkeypatch.setattr(supervision, "_run_group", run_group)
    config = ClusterConfig(workers=2, **options)
    error = supervision.supervise(lambda _: None, {"directory": handle}, config)
    return error, groups


FAULT = Ending(reason="failure", detail="the process of rank 1 died")
DONE = Ending(reason="done")


def test_new_groups_start_until_one_is_done(
    monkeypatch: pytest.MonkeyPatch, directory: Handle
) -> None:
    notice = Ending(reason="preemption", saved=True)
    late = Ending(reason="not_started", detail="no room")
    assert supervised(monkeypatch, directory, FAULT, notice, late, FAULT, DONE) == (None, 5)
    reasons = [record.reason for record in directory.groups.remote()]
    assert reasons == ["failure", "preemption", "failure", None]  # the driver records the last


def test_the_budget_ends_a_run_with_the_last_reason(
    monkeypatch: pytest.MonkeyPatch, directory: Handle
) -> None:
    error, groups = supervised(monkeypatch, directory, *[FAULT] * 9, max_failures=2)
    assert groups == 3
    assert isinstance(error, ClusterError)
    assert "3 failures in a row" in str(error)
    assert "the process of rank 1 died" in str(error)


def test_a_lasting_storage_error_is_the_runs_error(
    monkeypatch: pytest.MonkeyPatch, directory: Handle
) -> None:
    refused = StorageError("s3://b refuses")
    end = Ending(reason="storage", detail="rank 0", error=refused)
    assert supervised(monkeypatch, directory, *[end] * 9, max_failures=1) == (refused, 2)


def test_an_error_that_no_restart_repairs_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, directory: Handle
) -> None:
    diverged = DivergenceError("diverged")
    assert supervised(monkeypatch, directory, diverged) == (diverged, 1)


@pytest.mark.parametrize(
    ("error", "hopeless"),
    [
        (StorageError, False),
        (StorageUnavailableError, False),
        (StorageFullError, False),
        (StorageMissingError, False),  # a bucket or a mount may return
        (StorageContentError, True),
        (LeaseLostError, True),
        (ConfigError, True),
        (DataError, True),
        (DivergenceError, True),
        (ClusterError, True),
    ],
)
def test_only_requests_that_may_succeed_again_are_worth_a_restart(
    error: type[GanInvError], hopeless: bool
) -> None:
    assert no_restart_mends(error("because")) is hopeless


def test_a_stop_overrides_a_preemption(monkeypatch: pytest.MonkeyPatch, directory: Handle) -> None:
    directory.request_save.remote("stop")
    notice = Ending(reason="preemption", saved=True)
    assert supervised(monkeypatch, directory, notice) == (None, 1)


def test_a_run_without_room_ends_after_max_wait_s(
    monkeypatch: pytest.MonkeyPatch, directory: Handle
) -> None:
    now = [0.0]
    monkeypatch.setattr("cluster.workers.supervision.time.monotonic", lambda: now[0])

    def never(*_: Any) -> Ending:
        now[0] += 120.0
        return Ending(reason="not_started", detail="no room")

    monkeypatch.setattr(supervision, "_run_group", never)
    config = ClusterConfig(workers=2, max_wait_s=600)
    error = supervision.supervise(lambda _: None, {"directory": directory}, config)
    assert now[0] == 600
    assert "no room for 2 workers" in str(error)
    assert "cluster.max_wait_s = 600" in str(error)
    assert directory.groups.remote() == []
