"""What a run that starts from another run's networks reads of it, and what is no start.

`test_sweep.py` trains such runs; `tests/launch/methods/test_lia.py` does on two workers.
"""

from pathlib import Path

import pytest
import torch

from ganinv.errors import ConfigError, StorageError
from ganinv.saved import format as names
from ganinv.saved.manifest import committed_names
from ganinv.saved.starting import load_start, read_start
from launch.options.loading import load_config, load_recipe
from launch.wiring.networks import build_networks, start_networks
from tests.support.made_runs import MadeRun
from tests.support.started_runs import make_origin, manifest_of, of
from tests.support.states import equal, whole_state


@pytest.fixture
def origin(tmp_path: Path) -> MadeRun:
    return make_origin(tmp_path / "origin")


@pytest.mark.parametrize("weights", ["average", "current"])
def test_averages_or_current_weights_are_read(origin: MadeRun, weights: str) -> None:
    (checkpoint,) = committed_names(origin.store)
    found, tensors = read_start(origin.store, checkpoint, ["d"], weights)  # type: ignore[arg-type]
    prefix = names.average("d") if weights == "average" else names.weights("d")
    equal(tensors["d"], of(whole_state(origin.store), prefix))
    assert found.networks == ("d",)
    assert set(found.sha256) == {o.name for o in manifest_of(origin.config.storage.run).objects}


def test_what_cannot_be_a_start_is_refused(origin: MadeRun) -> None:
    (checkpoint,) = committed_names(origin.store)
    with pytest.raises(
        ConfigError, match=r"start.networks = 'q': .* no such network; choose among"
    ):
        read_start(origin.store, checkpoint, ["q"], "average")
    with pytest.raises(StorageError, match="holds no checkpoint '000000000001-00000000'"):
        read_start(origin.store, "000000000001-00000000", None, "average")
    _, tensors = read_start(origin.store, checkpoint, None, "average")
    with pytest.raises(ConfigError, match=r"its network 'd' does not fit this run's"):
        load_start({"g": origin.session.networks["g"], "d": torch.nn.Linear(1, 1)}, tensors, "url")
    with pytest.raises(ConfigError, match="this run has no network 'd'"):
        load_start({"g": origin.session.networks["g"]}, tensors, "url")


def test_a_damaged_start_is_refused(origin: MadeRun) -> None:
    (checkpoint,) = committed_names(origin.store)
    part = next(e.name for e in origin.store.list(names.folder(checkpoint)) if "part-" in e.name)
    payload = bytearray(origin.store.read(part))
    payload[-1] ^= 1
    origin.store.write(part, bytes(payload))
    with pytest.raises(StorageError, match="SHA-256 differs"):
        read_start(origin.store, checkpoint, None, "average")


def test_a_frozen_network_that_the_other_run_lacks_is_refused(
    tmp_path: Path, origin: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would keep its random weights."""
    (checkpoint,) = committed_names(origin.store)
    config = load_config(
        load_recipe("tiny-pvdgan"),
        [
            f"storage.run={tmp_path}/run",
            f"data.url={origin.config.data.url}",
            f"start.run={origin.config.storage.run}",
            f"start.checkpoint={checkpoint}",
            "start.frozen=[g]",
        ],
    )
    monkeypatch.setattr(
        "launch.wiring.networks.read_start",
        lambda *given: read_start(*given[:2], ["d"], "average"),
    )
    with pytest.raises(ConfigError, match=r"start.frozen = 'g': .* holds no such network"):
        start_networks(config, build_networks(config, origin.index, torch.device("cpu")))
