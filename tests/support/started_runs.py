"""Runs that start from another run's networks, one of them frozen."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cluster.run_folder.options_record import began_with, read_options
from cluster.storage.opening import open_store
from ganinv.errors import ConfigError
from ganinv.saved import format as names
from ganinv.saved.checkpoints import choose
from ganinv.saved.manifest import Manifest
from launch.options.schema import RunConfig
from launch.wiring.networks import check_start, with_start_checkpoint
from launch.wiring.same_run import check_options
from tests.support.made_runs import MadeRun, make_run
from tests.support.states import equal, whole_state


def of(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    found = names.below(state, prefix)
    assert found
    return found


def manifest_of(url: str) -> Manifest:
    chosen = choose(open_store(url))
    assert chosen is not None
    return chosen[0]


def make_origin(folder: Path) -> MadeRun:
    """A run whose averages differ from its weights."""
    run = make_run(folder, 256)
    for average in run.session.averages.values():
        with torch.no_grad():
            for parameter in average.network.parameters():
                parameter += 0.01  # more saturates images, and figures no longer differ
    run.save()
    return run


def assert_generator_is_the_origins(url: str, origin: MadeRun) -> None:
    """Every byte of it; the discriminator has been trained further."""
    state, before = whole_state(open_store(url)), whole_state(origin.store)
    found, began_at = manifest_of(url), manifest_of(origin.config.storage.run)
    assert not any(key.startswith((names.average("g"), "g/optimizer/")) for key in state)
    equal(of(state, names.weights("g")), of(before, names.average("g")))
    trained, began = of(state, names.weights("d")), of(before, names.average("d"))
    assert not any(torch.equal(trained[key], value) for key, value in began.items())
    assert found.started_from is not None
    assert found.started_from["run"] == origin.config.storage.run
    assert found.started_from["checkpoint"] == began_at.name


def assert_goes_on_without_its_origin(config: RunConfig, moved: RunConfig, origin: MadeRun) -> None:
    """`config`: of a run that has a checkpoint; `moved`: the same with another origin."""
    store, began_at = open_store(config.storage.run), manifest_of(origin.config.storage.run)
    shutil.rmtree(origin.config.storage.run)
    recorded = read_options(store)
    assert recorded is not None
    assert recorded["start"]["checkpoint"] == began_at.name
    again = with_start_checkpoint(config, began_with(store))
    assert again.start.checkpoint == began_at.name  # of the record; the other run is gone
    check_start(again, store, origin.index)
    with pytest.raises(ConfigError, match=r"start\.run = .*the run began with"):
        check_options(began_with(store), moved, store.url)
