"""What every method promises the training step. Collects the methods by itself.

A method owes what it declares, and nothing else: only methods that encode must report the errors
of codes, and only methods with a state must update one.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from ganinv import objectives
from ganinv.codec import Codec
from ganinv.errors import ConfigError
from ganinv.objectives.base import Loss, Objective, Round, RoundOutput, cut
from ganinv.objectives.traced import TracedObjective
from ganinv.seams.engine import no_reduction
from ganinv.training.statistics import GRADIENT_NORM, derived_statistics, statistic_named
from ganinv.training.step import StepResult, train_step
from tests.support.micro_batches import label, local_engines, objective_variants, random_batch
from tests.support.runs import NETWORK, build_networks, make_objective

BATCH = 8
VARIANTS = objective_variants()
every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=label)
every_method = pytest.mark.parametrize("name", objectives.names())


class Asked(Mapping[str, Tensor]):
    """Noise that records the names it was asked for."""

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
    """One step from initial weights; `outputs`: of its rounds, `moved`: networks that changed."""

    objective: Objective
    networks: dict[str, nn.Module]
    before: dict[str, Tensor]
    result: StepResult
    noise: Asked
    outputs: list[RoundOutput]
    moved: set[str]


def networks_of(objective: Objective) -> dict[str, nn.Module]:
    """Its networks alone, at their initial weights."""
    built = build_networks()
    return {name: built[name] for name in objective.roles}


def weights_of(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value.detach().clone()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }


def one_step(variant: dict[str, Any], global_batch: int = BATCH) -> Step:
    objective = make_objective(**variant)
    networks = networks_of(objective)
    engines = local_engines(objective, networks)
    frozen = {name: network for name, network in networks.items() if name not in engines}
    weights = weights_of(networks)
    batch = random_batch(objective, global_batch=global_batch, dtype=torch.float32)
    noise = Asked(batch.noise)
    state = objective.new_state(global_batch)
    before = {name: value.clone() for name, value in state.items()}
    outputs: list[RoundOutput] = []
    result = train_step(
        recording(objective, outputs),
        engines,
        [replace(batch, noise=noise)],
        state,
        no_reduction,
        frozen,
    )
    assert all(torch.equal(state[name], value) for name, value in before.items())
    after = weights_of(networks)
    moved = {key.partition("/")[0] for key in after if not torch.equal(after[key], weights[key])}
    return Step(objective, networks, before, result, noise, outputs, moved)


def recording(objective: Objective, outputs: list[RoundOutput]) -> Objective:
    """The same method, whose rounds append what they return to `outputs`."""

    def recorded(round_: Round) -> Round:
        def wrapped(*arguments: Any) -> RoundOutput:
            output = round_(*arguments)
            outputs.append(output)
            return output

        return wrapped

    class Recording(type(objective)):  # type: ignore[misc]  # a class known only here
        rounds = tuple(recorded(round_) for round_ in objective.rounds)

    copy: Objective = Recording(objective.config, objective.latent.size)
    return copy


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


def rounds_without_backward(variant: dict[str, Any]) -> list[RoundOutput]:
    """What the rounds return at initial weights, with their graphs as they were built."""
    objective = make_objective(**variant)
    nets = networks_of(objective)
    batch = random_batch(objective, global_batch=BATCH, dtype=torch.float32)
    state = objective.new_state(BATCH)
    return [round_(nets, batch, state) for round_ in objective.rounds]


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
def test_declarations_describe_each_number_once(variant: dict[str, Any]) -> None:
    objective = make_objective(**variant)
    rows = (*objective.statistics, *derived_statistics(objective))
    assert all(row.help for row in rows)
    assert len({row.name for row in rows}) == len(rows)
    gauges = [row.gauge for row in rows if row.gauge]
    assert len(set(gauges)) == len(gauges)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", gauge) for gauge in gauges)  # of Prometheus
    assert {f"{GRADIENT_NORM}{name}" for name, role in objective.roles.items() if role.trained} <= {
        row.name for row in rows
    }
    for row in rows:  # one name means the same in every method
        assert statistic_named(row.name) == row


@every_variant
def test_charts_show_declared_numbers_each_once(variant: dict[str, Any]) -> None:
    objective = make_objective(**variant)
    known = {row.name for row in (*objective.statistics, *objective.figures_declared)}
    drawn = [name for plot in objective.plots for name in plot.series]
    assert set(drawn) <= known
    assert len(set(drawn)) == len(drawn)
    for plot in objective.plots:
        assert plot.title
        assert plot.caption
        assert len(plot.series) == 1 or all(plot.series.values())  # a legend needs labels


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


def codec_of(step: Step) -> Codec:
    """The trained model after the step, as an export makes it."""
    exported = {
        name: step.networks[name].eval().requires_grad_(False)
        for name, role in step.objective.roles.items()
        if role.exported
    }
    return step.objective.codec(exported, step.objective.tensors(step.result.state))


@every_variant
def test_the_codec_needs_the_exported_networks_and_tensors_alone(variant: dict[str, Any]) -> None:
    step = one_step(variant)
    codec, exported = codec_of(step), {n for n, r in step.objective.roles.items() if r.exported}
    assert codec.networks.keys() == exported
    tensors = step.objective.tensors(step.result.state)
    assert codec.tensors.keys() == tensors.keys()
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values())
    for name in exported:
        without = {key: step.networks[key] for key in exported - {name}}
        with pytest.raises(KeyError, match=name):
            step.objective.codec(without, tensors)
    for name in tensors:
        fewer = {key: tensor for key, tensor in tensors.items() if key != name}
        with pytest.raises(KeyError, match=name):
            step.objective.codec({key: step.networks[key] for key in exported}, fewer)


@every_variant
def test_the_codec_decodes_encodes_and_compares_codes(variant: dict[str, Any]) -> None:
    objective, codec = make_objective(**variant), codec_of(one_step(variant))
    code_BL = objective.latent.draw(0, "prior", range(5))
    assert code_BL.shape == (5, objective.latent.size)
    image_BCHW = codec.decode(code_BL)
    assert image_BCHW.shape == (5, 3, 16, 16)
    assert bool(image_BCHW.isfinite().all())
    spread_L = codec.latent.spread(codec.tensors)
    assert spread_L.shape == (objective.latent.size,)
    assert bool((spread_L > 0).all())
    error_B = codec.code_error(code_BL, code_BL.roll(1, 0))
    assert error_B.shape == (5,)
    assert error_B.dtype == torch.float64
    assert bool((error_B > 0).all())
    assert codec.code_error(code_BL, code_BL).tolist() == [0.0] * 5
    if codec.encodes:
        recovered_BL = codec.encode(image_BCHW)
        assert recovered_BL.shape == code_BL.shape
        assert bool(recovered_BL.isfinite().all())
    if codec.feature_source is not None:
        feature_BF = codec.features(image_BCHW)
        assert feature_BF.ndim == 2
        assert len(feature_BF) == 5


@pytest.mark.parametrize("name", ["dlsgan", "pvdgan"])
@pytest.mark.parametrize("schedule", ["simultaneous", "sequential"])
def test_methods_of_the_papers_report_what_metrics_jsonl_promises(name: str, schedule: str) -> None:
    objective = make_objective(name, schedule=schedule)
    assert isinstance(objective, TracedObjective)
    declared = {row.name for row in objective.statistics}
    expected = {"loss/d", "loss/g", "loss/enc", "loss/r1", "d/real", "d/fake"}
    assert declared == expected | ({"loss/rec"} if name == "pvdgan" else set())
    figures = {row.name for row in objective.figures_declared}
    assert figures == {"latent/entropy_nats", "latent/active", "latent/effective"}
    state = objective.new_state(BATCH)
    assert next(iter(objective.spectra(state))) == "fake"
    scale_L = objective.scale(state)
    assert scale_L.shape == (NETWORK.latent_size,)
    assert scale_L.dtype == torch.float64
    assert bool((scale_L > 0).all())
    assert torch.equal(objective.tensors(state)["scale_L"], scale_L.float())
    assert codec_of(one_step({"name": name, "schedule": schedule})).encodes


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
