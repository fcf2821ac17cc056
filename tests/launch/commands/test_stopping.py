"""A training that is asked to stop saves if it has trained, and else ends at once."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from rich.console import Console

from cluster.config import ClusterConfig
from cluster.run_folder.group_history import GroupRecord
from cluster.workers.group import Outcome, WorkerGroup
from ganinv.errors import ClusterError
from launch.commands import train
from launch.options.loading import load_config, load_recipe
from launch.starting import StartReport

NEW = GroupRecord(number=0, launched=0, world_size=1)
TRAINED = GroupRecord(number=0, launched=0, world_size=1, first_step=1.0, images_seen=16)
FAILED = GroupRecord(number=0, launched=0, world_size=1, first_step=1.0, reason="failure")


class Group(WorkerGroup):
    """A group whose directory is a table; it ends when it has been asked to save."""

    def __init__(self, *records: GroupRecord) -> None:
        self._answers: dict[str, Any] = {
            "groups": list(records), "progress": {"images_seen": 16}, "take_messages": [],
        }  # fmt: skip
        self._waiting = SimpleNamespace(lines=lambda *_: [])  # type: ignore[assignment]
        self.asked: list[str] = []

    def _ask(self, verb: str, *_: Any, **__: Any) -> Any:
        self.asked.append(verb)
        return self._answers.get(verb, [])

    def wait(self, _: float) -> Outcome | None:
        return Outcome() if "request_save" in self.asked else None


def stopped(group: Group) -> tuple[str | None, str]:
    """How the training says that it stopped, and what it printed before."""
    words = ("storage.run=run", "data.url=data")
    config = load_config(load_recipe("tiny-pvdgan"), words)
    shown = io.StringIO()
    held = SimpleNamespace(check=lambda: None)
    log = SimpleNamespace(keep=lambda _: None, close=lambda _: None)
    said = train._watch(group, config, held, Console(file=shown), [15], log, StartReport())  # type: ignore[arg-type]
    return said, shown.getvalue()


@pytest.mark.parametrize(
    "records",
    [
        (),  # there was no room for workers yet
        (NEW,),  # they start, or load a checkpoint
        (FAILED,),  # another group is to follow
    ],
)
def test_a_stop_before_anything_was_trained(records: tuple[GroupRecord, ...]) -> None:
    said, shown = stopped(Group(*records))
    assert said == train.NOTHING_TO_SAVE
    assert "saving" not in shown


def test_a_stop_while_a_group_trains() -> None:
    said, shown = stopped(Group(FAILED, TRAINED))
    assert said == train.SAVED
    assert "saving, then stopping" in shown


def test_a_group_that_fails_while_it_saves_is_not_waited_for() -> None:
    class Failing(Group):
        def wait(self, _: float) -> Outcome | None:
            if "request_save" in self.asked:
                self._answers["groups"] = [FAILED]
            return None

    said, shown = stopped(Failing(TRAINED))
    assert said == train.UNSAVED
    assert "saving, then stopping" in shown


def test_a_lost_directory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(_: object, *, timeout: float) -> None:
        assert timeout > 0
        raise ray.exceptions.GetTimeoutError

    group = WorkerGroup.__new__(WorkerGroup)
    group.directory = SimpleNamespace(groups=SimpleNamespace(remote=lambda: None))
    monkeypatch.setattr(ray, "get", get)
    with pytest.raises(ClusterError, match=r"directory on the head node was lost .*start again"):
        group.groups()


def test_a_group_that_cannot_be_set_up_shuts_ray_down(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cluster.workers.group.start_ray", lambda _: None)
    monkeypatch.setattr("cluster.workers.group.start_directory", interrupt)
    monkeypatch.setattr("cluster.workers.group._undiscovered_ray_targets", list)
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append("Ray"))
    with pytest.raises(KeyboardInterrupt):
        WorkerGroup("run", ClusterConfig(), SimpleNamespace(host="", discovery_port=0))  # type: ignore[arg-type]
    assert ended == ["Ray"]
