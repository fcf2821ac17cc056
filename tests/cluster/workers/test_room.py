"""Every minute, a wait for workers says what is missing."""

import time

import pytest
import ray

from cluster.config import ClusterConfig
from cluster.run_folder.group_history import GroupRecord
from cluster.workers import room
from cluster.workers.room import WaitReport, missing
from tests.support.clocks import Clock

GPU = {"CPU": 1.0, "GPU": 1.0}


def test_what_is_missing() -> None:
    assert missing(GPU, 2, {"CPU": 8}, {"CPU": 8}) == (
        "waiting for room (2 GPU needed, no node has any)"
    )
    assert missing(GPU, 2, {"CPU": 8, "GPU": 2}, {"CPU": 1, "GPU": 2}) == (
        "waiting for room (2 CPU needed, 1 of 8 are free)"
    )
    assert "workers are starting" in missing(GPU, 2, {"CPU": 8, "GPU": 2}, {"CPU": 8, "GPU": 2})


def test_a_line_every_minute_until_all_have_started(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(room, "time", clock)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 1.0})
    report = WaitReport(ClusterConfig(min_workers=2, max_workers=4))
    group = GroupRecord(number=0, launched=time.time(), world_size=4)

    def lines(after_s: float, started: int, *groups: GroupRecord) -> list[str]:
        clock.sleep(after_s)
        return report.lines(started, groups)

    assert lines(0, 0) == []
    assert lines(59, 0) == []
    assert lines(1, 0) == [
        "0 of 2 workers have started after 60 s: waiting for room (2 CPU needed, 1 of 2 are free)"
    ]
    assert lines(59, 0, group) == []
    assert lines(1, 3, group) == [
        "3 of 4 workers have started after 120 s: the cluster has room, the workers are starting"
    ]
    assert lines(60, 4, group) == []
    ended = GroupRecord(number=0, launched=0, world_size=4, reason="failure")
    assert lines(0, 4, ended) == []  # a new wait begins, though the lost group had all of them
    assert lines(60, 4, ended)[0].startswith("0 of 2 workers")
