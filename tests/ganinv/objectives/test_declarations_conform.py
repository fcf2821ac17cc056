"""What every method declares of its numbers and of its trained model, and that it holds to it.

Collects the methods by itself. A method owes what it declares, and nothing else: `encode` where its
codec encodes, features where it has some, tensors where its latent needs some.
"""

import re
from typing import Any

import pytest
import torch

from ganinv.objectives.traced import TracedObjective
from ganinv.training.statistics import GRADIENT_NORM, derived_statistics, statistic_named
from tests.support.micro_batches import label, objective_variants
from tests.support.runs import NETWORK, make_objective
from tests.support.steps import BATCH, codec_of, one_step

every_variant = pytest.mark.parametrize("variant", objective_variants(), ids=label)


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
    codec = codec_of(one_step(variant))
    code_BL = codec.prior(0, "prior", range(5))
    assert code_BL.shape == (5, codec.latent.size)
    image_BCHW = codec.decode(code_BL)
    assert image_BCHW.shape == (5, 3, 16, 16)
    assert bool(image_BCHW.isfinite().all())
    spread_L = codec.latent.spread(codec.tensors)
    assert spread_L.shape == (codec.latent.size,)
    assert bool((spread_L[: codec.latent.size - len(codec.classes)] > 0).all())
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
        for feature_BF in (codec.features(image_BCHW), codec.feature_map(image_BCHW)):
            assert feature_BF.ndim == 2
            assert len(feature_BF) == 5


@every_variant
def test_every_space_has_the_point_and_the_image_of_each_code(variant: dict[str, Any]) -> None:
    """`of_code` and `decode` of all spaces give the same image; `to_code` gives the code back."""
    codec = codec_of(one_step(variant))
    code_BL = codec.prior(0, "prior", range(3))
    image_BCHW = codec.decode(code_BL)
    assert next(iter(codec.spaces)) == "z"
    for space in codec.spaces.values():
        point = space.of_code(code_BL).detach().requires_grad_()
        torch.testing.assert_close(space.decode(point), image_BCHW, rtol=1e-5, atol=1e-5)
        space.decode(point)[1].square().sum().backward(inputs=[point])
        assert point.grad is not None
        moved_B = point.grad.flatten(1).abs().amax(1)
        assert (moved_B > 0).tolist() == [False, True, False]  # each sample by itself
        if space.to_code is not None:
            torch.testing.assert_close(space.to_code(point), code_BL, rtol=1e-5, atol=1e-5)


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
