"""Starting and joining Ray: demands, retries, left-overs, signals, one sentence for each fault."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ray
import torch

from cluster.config import ClusterConfig
from cluster.processes import Process
from cluster.workers import starting
from ganinv.errors import ClusterError, ConfigError

CPU = ClusterConfig()
PATIENCE = "RAY_gcs_server_port_wait_time_s"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Any]]]:
    """Replaces `ray.init` by steps, one for each call; returns the list of calls so far."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(starting, "check_ray", lambda: "")
    monkeypatch.setattr(starting, "shipped", list)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    handlers = {number: signal.getsignal(number) for number in starting.ENDINGS}

    def install(*steps: Callable[[], None]) -> list[Any]:
        calls: list[Any] = []

        def init(*words: Any, **settings: Any) -> None:
            calls.append((words, settings, os.environ.get(PATIENCE)))
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as Ray does
            steps[len(calls) - 1]()

        monkeypatch.setattr(ray, "init", init)
        return calls

    yield install
    assert {number: signal.getsignal(number) for number in starting.ENDINGS} == handlers


def failing(error: BaseException) -> Callable[[], None]:
    def step() -> None:
        raise error

    return step


TIMED_OUT = failing(Exception("The current node timed out during startup. This could\nbe"))


def test_a_slow_start_is_tried_once_more_with_more_patience(fake: Any) -> None:
    calls = fake(TIMED_OUT, lambda: None)
    starting.start_ray(CPU)
    assert [patience for _, _, patience in calls] == [None, "120"]


def test_two_failed_starts_are_one_sentence_and_leave_no_process(fake: Any) -> None:
    begun: list[Process] = []

    def step() -> None:
        begun.append(Process.of(subprocess.Popen(["sleep", "100"]).pid))
        TIMED_OUT()

    fake(step, step)
    with pytest.raises(ClusterError, match="tried twice: The current node timed out") as caught:
        starting.start_ray(CPU)
    assert "\n" not in str(caught.value)
    assert len(begun) == 2
    assert not any(process.alive() for process in begun)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(15)])
def test_a_signal_during_the_start_is_not_retried(fake: Any, error: BaseException) -> None:
    calls = fake(failing(error), lambda: None)
    with pytest.raises(KeyboardInterrupt):
        starting.start_ray(CPU)
    assert len(calls) == 1


def test_a_cluster_that_refuses_is_named(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(failing(RuntimeError("Version mismatch: The cluster was started with:\n Ray: 2.1")))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(ClusterError, match=r"'10.0.0.1:6379': cannot join .*: Version mismatch: "):
        starting.start_ray(CPU)


def test_a_wrong_token_is_named(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        try:
            raise RuntimeError("Failed to connect to GCS. Last connection error: InvalidAuthToken")
        except RuntimeError as error:
            raise ConnectionError("Failed to connect to Ray cluster") from error

    fake(refuse)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(ClusterError, match="cannot join the cluster: it refuses the token; "):
        starting.start_ray(CPU)


@pytest.mark.parametrize("address", ["", "local"])
def test_an_empty_address_and_local_start_ray_here(
    fake: Any, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    calls = fake(lambda: None)
    monkeypatch.setenv("RAY_ADDRESS", address)
    starting.start_ray(CPU)
    assert calls[0][1]["address"] == "local"


@pytest.mark.parametrize(
    ("options", "found", "refused"),
    [
        ({"workers": 1}, 0, True),
        ({"workers": 2}, 1, True),
        ({"min_workers": 2, "max_workers": 4}, 1, True),
        ({"workers": 2}, 2, False),
        ({"min_workers": 1, "max_workers": 4}, 1, False),
    ],
)
def test_gpus_that_this_machine_lacks_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, int], found: int, refused: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = ClusterConfig(use_gpu=True, **options)
    if refused:
        with pytest.raises(ConfigError, match=rf"this machine has {found or 'none'}; "):
            starting.check_demand(config)
    else:
        starting.check_demand(config)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    starting.check_demand(config)  # the cluster may grow
