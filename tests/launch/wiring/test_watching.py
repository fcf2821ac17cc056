"""What becomes of an error on a worker: it ends the run, or a new group follows."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch

from cluster.config import ClusterConfig
from ganinv.errors import DataError, GanInvError, StorageContentError, StorageError
from launch.wiring.watching import PACKAGES, run_worker


class Directory:
    """A directory in this process, called like an actor."""

    def __init__(self) -> None:
        self.reported: GanInvError | None = None

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=lambda *given: self.called(name, *given))

    def called(self, name: str, *given: Any) -> Any:
        if name == "fail":
            (self.reported,) = given
        return self.reported if name == "error" else None


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Directory]:
    monkeypatch.setattr(ray, "get", lambda value: value)
    context = SimpleNamespace(get_node_id=lambda: "here")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    loggers = [logging.getLogger(package) for package in PACKAGES]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    threads = torch.get_num_threads()
    yield Directory()
    torch.set_num_threads(threads)
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.mark.parametrize("error", [StorageContentError("corrupt"), DataError("another data set")])
def test_an_error_that_no_restart_mends_ends_the_run(
    directory: Directory, error: GanInvError
) -> None:
    def work() -> None:
        raise error

    run_worker(directory, ClusterConfig(), work)
    assert directory.reported is error


def test_after_any_other_error_a_new_group_follows(directory: Directory) -> None:
    def work() -> None:
        raise StorageError("access denied")

    with pytest.raises(StorageError, match="access denied"):
        run_worker(directory, ClusterConfig(), work)
    assert directory.reported is None
