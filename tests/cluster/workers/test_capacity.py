"""How many runs fit a machine or a cluster at once."""

from typing import Any

import pytest

from cluster.config import ClusterConfig
from cluster.workers.capacity import GPUS, Resources, nodes, runs_with_room, shares

TWO_CORES = [{"CPU": 2.0, "GPU": 0.0}]
THREE_NODES = [{"CPU": 1.0}, {"CPU": 16.0, "GPU": 4.0}, {"CPU": 16.0, "GPU": 4.0}]


@pytest.mark.parametrize(
    ("there", "options", "runs"),
    [
        (TWO_CORES, {}, 2),
        (TWO_CORES, {"workers": 2}, 1),
        (TWO_CORES, {"workers": 64}, 1),  # one at a time, on more workers than cores
        (TWO_CORES, {"cpus_per_worker": 0.5}, 4),
        (TWO_CORES, {"use_gpu": True}, 1),
        (THREE_NODES, {"workers": 2, "use_gpu": True}, 4),
        (THREE_NODES, {"workers": 2, "use_gpu": True, "cpus_per_worker": 8}, 2),
        (THREE_NODES, {"min_workers": 1, "max_workers": 3, "use_gpu": True}, 2),
        (THREE_NODES, {"workers": 11}, 3),
    ],
)
def test_as_many_runs_as_have_all_their_workers(
    there: list[Resources], options: dict[str, Any], runs: int
) -> None:
    assert runs_with_room(there, ClusterConfig(**options)) == runs


def test_on_one_machine_each_run_has_gpus_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv(GPUS, "3,4, 5,6,7")
    config = ClusterConfig(workers=2, use_gpu=True)
    (here,) = nodes(config)
    assert here["GPU"] == 5
    assert shares(config, 2) == [{GPUS: "3,4"}, {GPUS: "5,6"}]
    assert shares(config, 1) == [{}]  # all of them, as `ganinv train` does
    assert shares(ClusterConfig(workers=2), 2) == [{}, {}]
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert shares(config, 2) == [{}, {}]
