"""A run that starts from another run's networks, some of them frozen, as a person trains it."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cluster.run_folder.metrics_log import read_rows
from cluster.run_folder.options_record import began_with, read_options
from cluster.storage.opening import open_store
from datasets.building.index_existing import index_existing
from ganinv.errors import ConfigError, StorageError
from ganinv.saved import format as names
from ganinv.saved.checkpoints import choose
from ganinv.saved.manifest import Manifest, committed_names
from ganinv.saved.starting import load_start, read_start
from launch.options.loading import load_config, load_recipe
from launch.wiring.networks import (
    build_networks,
    check_start,
    start_networks,
    with_start_checkpoint,
)
from tests.support.commands import launch
from tests.support.made_runs import MadeRun, make_run
from tests.support.states import equal, whole_state

STEPS = ("train.images=32", "train.checkpoint_every=32", "train.log_every=32", "cluster.workers=2")


def of(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    found = names.below(state, prefix)
    assert found
    return found


@pytest.fixture
def origin(tmp_path: Path) -> MadeRun:
    """Another run, whose averages differ from its weights."""
    run = make_run(tmp_path / "origin", 256)
    for average in run.session.averages.values():
        with torch.no_grad():
            for parameter in average.network.parameters():
                parameter += 0.25
    run.save()
    return run


def manifest_of(url: str) -> Manifest:
    chosen = choose(open_store(url))
    assert chosen is not None
    return chosen[0]


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_frozen_networks_keep_every_byte_and_others_train(tmp_path: Path, origin: MadeRun) -> None:
    """And once the run has a checkpoint, the other run is not needed any more.

    The data set consists of tars without a test split: figures that need one are left out.
    """
    other, url = origin.config.storage.run, str(tmp_path / "run")
    before, began_at = whole_state(origin.store), manifest_of(other)
    tars = tmp_path / "tars"
    tars.mkdir()
    for shard in origin.index.splits["train"]:
        shutil.copy(Path(origin.config.data.url, shard.name), tars)
    index_existing(open_store(str(tars)))
    words = (f"storage.run={url}", f"data.url={tars}", *STEPS)
    start = (f"start.run={other}", "start.networks=[g,d]", "start.frozen=[g]")
    done = launch("train", "tiny-pvdgan", *words, *start)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("has no held-out images: evaluations leave out") == 1
    store = open_store(url)
    figures = {key for row in read_rows(store) for key in row if key.startswith("eval/")}
    assert {"eval/psnr_db_generated", "eval/enc"} <= figures
    assert not {"eval/psnr_db_test", "eval/fd_pixels"} & figures
    state, found = whole_state(store), manifest_of(url)
    assert not any(key.startswith((names.average("g"), "g/optimizer/")) for key in state)
    equal(of(state, names.weights("g")), of(before, names.average("g")))
    trained, began = of(state, names.weights("d")), of(before, names.average("d"))
    assert not any(torch.equal(trained[key], value) for key, value in began.items())
    assert found.started_from is not None
    assert found.started_from["run"] == other
    assert found.started_from["checkpoint"] == began_at.name
    shutil.rmtree(other)
    recorded = read_options(store)
    assert recorded is not None
    assert recorded["start"]["checkpoint"] == began_at.name
    config = load_config(load_recipe("tiny-pvdgan"), [*words, *start])
    again = with_start_checkpoint(config, began_with(store))
    assert again.start.checkpoint == began_at.name  # of the record; the other run is gone
    check_start(again, store, origin.index)
    refused = launch("train", "tiny-pvdgan", *words, "start.run=elsewhere")
    assert refused.returncode == 2
    assert "start.run = " in refused.stderr
    assert "the run began with" in refused.stderr


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
