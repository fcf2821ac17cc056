"""The watcher reports room for more workers, and only room beyond the group's own."""

import threading
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.config import ClusterConfig
from cluster.workers import node_watcher
from cluster.workers.live_groups import WorkerLocation

ELASTIC = ClusterConfig(min_workers=1, max_workers=3, grow_after_s=0)


class Directory:
    """The directory of a group of two whose second worker starts late; called like an actor."""

    def __init__(self) -> None:
        self.locations = [WorkerLocation(0, "here", "")]
        self.polls = threading.Semaphore(0)
        self.requests: list[tuple[str, str]] = []
        self.requested = threading.Event()

    def __getattr__(self, verb: str) -> Any:
        return SimpleNamespace(remote=getattr(type(self), f"do_{verb}").__get__(self))

    def do_worker_locations(self) -> list[WorkerLocation]:
        self.polls.release()
        return list(self.locations)

    def do_groups(self) -> list[Any]:
        return [SimpleNamespace(first_step=1.0)]

    def do_request_save(self, purpose: str, detail: str) -> None:
        self.requests.append((purpose, detail))
        self.requested.set()


def test_more_workers_are_reserved_only_after_the_group_has_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reserved: list[int] = []

    def reservations(_: ClusterConfig, count: int) -> Any:
        reserved.append(count)
        return SimpleNamespace(ready=lambda: count, close=lambda: None)

    monkeypatch.setattr(node_watcher, "Reservations", reservations)
    monkeypatch.setattr(node_watcher, "POLL_S", 0.01)
    monkeypatch.setattr(node_watcher, "SETTLE_S", 0.0)
    monkeypatch.setattr(node_watcher, "draining_nodes", set)
    monkeypatch.setattr(node_watcher.ray, "get", lambda answer: answer)
    directory = Directory()
    with closing(node_watcher.NodeWatcher(ELASTIC, directory, 2)):
        for _ in range(3):
            assert directory.polls.acquire(timeout=10)
        assert reserved == []
        directory.locations.append(WorkerLocation(1, "there", ""))
        assert directory.requested.wait(10)
    assert reserved == [1]
    assert directory.requests == [("resize", "room for 3 workers, up from 2")]
