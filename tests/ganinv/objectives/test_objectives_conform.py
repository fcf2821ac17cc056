"""What every method promises the training step. Collects the methods by itself."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from ganinv import objectives
from ganinv.errors import ConfigError
from ganinv.objectives.base import Objective
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training import statistics
from ganinv.training.step import Engines, StepResult, train_step
from tests.support.parts import label, objective_variants, random_part
from tests.support.runs import NETWORK, TRAIN, build_networks, make_objective

BATCH = 8
VARIANTS = objective_variants()
every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=label)
every_method = pytest.mark.parametrize("name", objectives.names())


class Asked(Mapping[str, Tensor]):
    """Noise that remembers what was asked of it."""

    def __init__(self, noise: Mapping[str, Tensor]) -> None:
        self.noise = noise
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        self.names.add(name)
        return self.noise[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.noise)

    def __len__(self) -> int:
        return len(self.noise)


@dataclass(frozen=True)
class Step:
    """One step from initial weights; `moved`: which networks' weights it changed."""

    objective: Objective
    before: dict[str, Tensor]
    result: StepResult
    noise: Asked
    moved: list[bool]


def one_step(variant: dict[str, Any], global_batch: int = BATCH) -> Step:
    objective = make_objective(**variant)
    networks = build_networks()
    weights = [next(network.parameters()).detach().clone() for network in networks]
    g, d = (LocalEngine(network, TRAIN.optimizer(network)) for network in networks)
    part = random_part(objective, global_batch=global_batch, dtype=torch.float32)
    noise = Asked(part.noise)
    state = objective.new_state(NETWORK.latent_size, global_batch)
    before = {name: value.clone() for name, value in state.items()}
    result = train_step(
        objective, Engines(g=g, d=d), [replace(part, noise=noise)], state, no_reduction
    )
    assert all(torch.equal(state[name], value) for name, value in before.items())
    moved = [
        not torch.equal(next(network.parameters()), old)
        for network, old in zip(networks, weights, strict=True)
    ]
    return Step(objective, before, result, noise, moved)


@every_variant
def test_a_step_trains_both_networks_and_gives_finite_numbers(variant: dict[str, Any]) -> None:
    step = one_step(variant)
    assert step.result.applied
    assert step.moved == [True, True]
    assert all(math.isfinite(float(value)) for value in step.result.statistics.values())


@every_variant
def test_the_statistics_reported_are_those_declared(variant: dict[str, Any]) -> None:
    step = one_step(variant)
    declared = step.objective.statistic_names
    assert sorted(step.result.statistics) == sorted(declared)
    assert set(declared) <= {row.name for row in statistics.TRAINING}
    assert {"loss/d", "loss/g", "loss/enc"} <= set(declared)  # the contract of metrics.jsonl
    assert all(value.ndim == 0 for value in step.result.statistics.values())


@every_variant
def test_the_noise_used_is_that_declared(variant: dict[str, Any]) -> None:
    step = one_step(variant)
    declared = step.objective.noise_names
    assert step.noise.names == set(declared)
    assert len(set(declared)) == len(declared)


@every_variant
def test_the_state_keeps_names_shapes_and_float64(variant: dict[str, Any]) -> None:
    step = one_step(variant)
    assert step.result.state.keys() == step.before.keys()
    for name, value in step.result.state.items():
        assert value.dtype == torch.float64
        assert value.shape == step.before[name].shape
        assert not torch.equal(value, step.before[name])


@every_variant
def test_the_state_survives_a_file(variant: dict[str, Any]) -> None:
    state = one_step(variant).result.state
    loaded = safetensors.torch.load(safetensors.torch.save(state))
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    assert all(loaded[name].dtype == value.dtype for name, value in state.items())


@every_variant
def test_scale_and_variances_of_a_state(variant: dict[str, Any]) -> None:
    step = one_step(variant)
    for state in (step.before, step.result.state):
        scale_L = step.objective.scale(state)
        assert scale_L.shape == (NETWORK.latent_size,)
        assert scale_L.dtype == torch.float64
        assert bool((scale_L > 0).all())
        variances = step.objective.variances(state)
        assert "fake" in variances
        for variance_L in variances.values():
            assert variance_L.shape == (NETWORK.latent_size,)
            assert variance_L.dtype == torch.float64
            assert bool((variance_L >= 0).all())


@every_variant
@pytest.mark.parametrize("global_batch", [1, 2, 3])
def test_a_batch_size_works_or_is_refused_at_once(
    variant: dict[str, Any], global_batch: int
) -> None:
    refusal = ""
    try:
        result = one_step(variant, global_batch).result
    except ConfigError as error:
        refusal = str(error)
    if refusal:
        assert refusal.startswith(f"train.global_batch = {global_batch}:")
    else:
        assert result.applied
        assert all(math.isfinite(float(value)) for value in result.statistics.values())


@every_method
def test_the_config_is_a_frozen_described_value(name: str) -> None:
    config_class = objectives.find(name).Config
    assert config_class.__doc__
    assert not config_class.__doc__.startswith(f"{config_class.__name__}(")  # dataclass's own
    assert all(field.kw_only for field in fields(config_class))
    config = config_class()  # every key has a default
    assert config.name == name
    with pytest.raises(FrozenInstanceError):
        config.name = "another"


@every_method
def test_a_negative_loss_weight_is_refused_by_key_and_value(name: str) -> None:
    config_class = objectives.find(name).Config
    weights = [field.name for field in fields(config_class) if field.name.startswith("lambda_")]
    assert weights
    for key in weights:
        with pytest.raises(ConfigError, match=f"{key} = -0.5"):
            config_class(**{key: -0.5})


def test_a_method_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"objective.name = 'dlsgam'.*dlsgan"):
        objectives.find("dlsgam")
