"""What every method promises the training step. Collects the methods by itself.

A method owes what it declares, and nothing else: only a method with moments must change its state.
"""

import math
from collections import Counter
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
import safetensors.torch
import torch

from ganinv import objectives
from ganinv.errors import ConfigError
from ganinv.objectives.base import Loss, cut
from tests.support.micro_batches import label, objective_variants
from tests.support.steps import one_step, rounds_without_backward

VARIANTS = objective_variants()
every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=label)
every_method = pytest.mark.parametrize("name", objectives.names())


@every_variant
def test_a_step_changes_exactly_the_trained_networks(variant: dict[str, Any]) -> None:
    step = one_step(variant)
    assert step.result.applied
    assert step.moved == {name for name, role in step.objective.roles.items() if role.trained}
    assert all(math.isfinite(float(value)) for value in step.result.statistics.values())


@every_variant
def test_exactly_the_trained_networks_have_losses(variant: dict[str, Any]) -> None:
    step = one_step(variant)
    stepping = {name for output in step.outputs for name in output.losses}
    assert stepping == {name for name, role in step.objective.roles.items() if role.trained}


@every_variant
def test_losses_are_scalars_computed_from_the_leaves_of_their_cuts(variant: dict[str, Any]) -> None:
    step = one_step(variant)
    for output in step.outputs:
        for name, loss in output.losses.items():
            assert loss.value.shape == ()
            makers = {through.maker for through in loss.through}
            assert makers <= step.objective.roles.keys()
            assert not makers or name in makers
            for through in loss.through:
                assert torch.equal(through.leaf, through.output)
                assert through.leaf.is_leaf
                assert through.leaf.requires_grad


@every_variant
def test_cuts_are_listed_in_forward_order(variant: dict[str, Any]) -> None:
    """The output of an earlier cut must not have been computed from the leaf of a later one."""
    for output in rounds_without_backward(variant):
        for loss in output.losses.values():
            assert backward_references(loss) == []


def backward_references(loss: Loss) -> list[tuple[int, int]]:
    """Pairs (earlier cut, later cut) where the earlier output depends on the later leaf."""
    found = []
    for later, behind in enumerate(loss.through):
        for earlier, before in enumerate(loss.through[:later]):
            if not before.output.requires_grad:
                continue  # the first output of a network that is never trained
            (slope,) = torch.autograd.grad(
                before.output.sum(), behind.leaf, retain_graph=True, allow_unused=True
            )
            if slope is not None:
                found.append((earlier, later))
    return found


def test_cuts_in_backward_order_would_be_noticed() -> None:
    first = cut("first", torch.ones(2, requires_grad=True) * 2)
    second = cut("second", first.leaf * 3)
    value = second.leaf.sum()
    assert backward_references(Loss(value, (first, second))) == []
    assert backward_references(Loss(value, (second, first))) == [(0, 1)]


@every_variant
def test_each_declared_statistic_is_reported_in_exactly_one_round(variant: dict[str, Any]) -> None:
    step = one_step(variant)
    declared = [row.name for row in step.objective.statistics]
    reported = Counter(name for output in step.outputs for name in output.statistics)
    assert reported == dict.fromkeys(declared, 1)
    assert len(set(declared)) == len(declared)
    assert step.result.statistics.keys() == set(declared)
    assert all(value.ndim == 0 for value in step.result.statistics.values())


@every_variant
def test_the_noise_used_is_the_noise_declared(variant: dict[str, Any]) -> None:
    step = one_step(variant)
    assert step.noise.names == step.objective.noise.keys()


@every_variant
def test_the_state_keeps_names_shapes_and_float64(variant: dict[str, Any]) -> None:
    step = one_step(variant)
    moments = [name for output in step.outputs for name in output.moments]
    assert step.result.state.keys() == step.before.keys()
    for name, value in step.result.state.items():
        assert value.dtype == torch.float64
        assert value.shape == step.before[name].shape
        if moments:  # a state that no moment reaches has nothing to change it
            assert not torch.equal(value, step.before[name])


@every_variant
def test_the_state_survives_a_file(variant: dict[str, Any]) -> None:
    state = one_step(variant).result.state
    loaded = safetensors.torch.load(safetensors.torch.save(state))
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    assert all(loaded[name].dtype == value.dtype for name, value in state.items())


@every_variant
def test_figures_are_those_declared_and_finite(variant: dict[str, Any]) -> None:
    step = one_step(variant)
    declared = [row.name for row in step.objective.figures_declared]
    for state in (step.before, step.result.state):
        figures = step.objective.figures(state)
        assert sorted(figures) == sorted(declared)
        assert all(math.isfinite(value) for value in figures.values())


@every_variant
def test_spectra_give_a_variance_of_each_latent_element(variant: dict[str, Any]) -> None:
    step = one_step(variant)
    size = step.objective.latent.size
    for state in (step.before, step.result.state):
        spectra = step.objective.spectra(state)
        assert len({spectrum.label for spectrum in spectra.values()}) == len(spectra)
        for spectrum in spectra.values():
            assert spectrum.label
            assert spectrum.variance_L.shape == (size,)
            assert spectrum.variance_L.dtype == torch.float64
            assert bool((spectrum.variance_L >= 0).all())


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


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"objective.name = 'dlsgam'.*dlsgan"):
        objectives.find("dlsgam")
