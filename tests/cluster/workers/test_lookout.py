"""What is seen beside a group: room for more, but only beyond the group's own."""

from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.config import ClusterConfig
from cluster.workers import lookout
from cluster.workers.chronicle import Seat
from tests.support.commands import wait_until

ELASTIC = ClusterConfig(min_workers=1, max_workers=3, grow_after_s=0)


class Directory:
    """Of a group of two, of which one worker is late. Its verbs are called as an actor's."""

    def __init__(self) -> None:
        self.sitting = [Seat(0, "here", "")]
        self.looks = 0
        self.heard: list[tuple[str, str]] = []

    def __getattr__(self, verb: str) -> Any:
        return SimpleNamespace(remote=getattr(type(self), f"do_{verb}").__get__(self))

    def do_seats(self) -> list[Seat]:
        self.looks += 1
        return self.sitting

    def do_groups(self) -> list[Any]:
        return [SimpleNamespace(first_step=1.0)]

    def do_ask(self, purpose: str, detail: str) -> None:
        self.heard.append((purpose, detail))


def test_more_room_is_asked_for_once_the_group_has_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def seats(_: ClusterConfig, count: int) -> Any:
        asked.append(count)
        return SimpleNamespace(ready=lambda: count, close=lambda: None)

    monkeypatch.setattr(lookout, "Seats", seats)
    monkeypatch.setattr(lookout, "POLL_S", 0.01)
    monkeypatch.setattr(lookout, "SETTLE_S", 0.0)
    monkeypatch.setattr(lookout, "draining_nodes", set)
    monkeypatch.setattr(lookout.ray, "get", lambda answer: answer)
    directory = Directory()
    with closing(lookout.Lookout(ELASTIC, directory, 2)):
        wait_until(lambda: directory.looks >= 3, 10, "some looks")
        assert asked == []
        directory.sitting.append(Seat(1, "there", ""))
        wait_until(lambda: directory.heard, 10, "it says what it sees")
    assert asked == [1]
    assert directory.heard == [("resize", "room for 3 workers, up from 2")]
