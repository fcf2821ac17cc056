"""Cutting a global batch over workers and micro-batches changes the order of summation alone.

The ranks of a run are simulated in one process: all their micro-batches pass through one engine,
which averages gradients over them as the ranks' engines do together. In float64.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.objectives.base import MicroBatch
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.session import Session, cut_into_micro_batches, new_session
from ganinv.training.step import train_step
from tests.support.families import build, families
from tests.support.micro_batches import in_double, label, objective_variants
from tests.support.runs import TRAIN, RandomImages, local_session, make_objective, snapshot

STEPS = 2
AUTHORS = {"schedule": "sequential", "share_trace": True, "vae_half": "first"}
VARIANTS = [*objective_variants(), {"name": "pvdgan", **AUTHORS}]
LAYOUTS = [  # images in the global batch, workers, images in a micro-batch
    (16, 4, None),
    (16, 1, 4),
    (16, 2, 2),
    # Micro-batches that hold unequal numbers of the samples of the batch's second half:
    (12, 4, None),
    (6, 3, 1),
]
# Every method with the last, which has workers, micro-batches and unequal ones, and with one more.
PAIRS = [
    (variant, layout)
    for number, variant in enumerate(VARIANTS)
    for layout in (LAYOUTS[number % 4], LAYOUTS[4])
]


def named(value: Any) -> str:
    """The name of a variant or of a layout."""
    return label(value) if isinstance(value, dict) else "-".join(map(str, value))


class Trained(NamedTuple):
    """After the last step; `figures`: means of the statistics of every step."""

    tensors: dict[str, Tensor]
    figures: list[dict[str, Tensor]]


def of_all_ranks(session: Session, config: TrainConfig, world: int) -> Iterator[MicroBatch]:
    """The micro-batches of all ranks, rank by rank."""
    layout = lay_out_batch(config, world)
    for rank in range(world):
        source = RandomImages(config.global_batch, rank, world)
        batch = next(source.batches(session.position))
        for micro_batch in cut_into_micro_batches(session, batch, config, layout):
            yield in_double(micro_batch)


def trained(
    variant: dict[str, Any], global_batch: int, world: int, micro_batch: int | None
) -> Trained:
    config = replace(TRAIN, global_batch=global_batch, micro_batch=micro_batch)
    count = lay_out_batch(config, world).micro_batches
    session = local_session(make_objective(**variant), config, count, double=True)
    figures = []
    for _ in range(STEPS):
        batches = list(of_all_ranks(session, config, world))
        result = train_step(
            session.objective,
            session.engines,
            batches,
            session.state,
            no_reduction,
            session.frozen,
        )
        assert result.applied
        assert result.micro_batches == count
        figures.append({name: total / count for name, total in result.statistics.items()})
        session.state = result.state
        session.images_seen += global_batch
        session.position = replace(session.position, images=session.images_seen)
    return Trained(snapshot(session), figures)


@cache
def trained_whole(name: str, global_batch: int) -> Trained:
    (variant,) = (variant for variant in VARIANTS if label(variant) == name)
    return trained(variant, global_batch, world=1, micro_batch=None)


@pytest.mark.parametrize(("variant", "layout"), PAIRS, ids=named)
def test_training_is_the_same_with_any_layout(
    variant: dict[str, Any], layout: tuple[int, int, int | None]
) -> None:
    global_batch, world, micro_batch = layout
    expected = trained_whole(label(variant), global_batch)
    found = trained(variant, global_batch, world, micro_batch)
    for found_figures, expected_figures in zip(found.figures, expected.figures, strict=True):
        torch.testing.assert_close(found_figures, expected_figures, rtol=1e-12, atol=1e-12)
    assert found.tensors.keys() == expected.tensors.keys()
    for name, value in expected.tensors.items():
        assert float((found.tensors[name] - value).abs().max()) <= 1e-12, name


class Keeping(LocalEngine):
    """Keeps the gradients instead of taking a step."""

    def finish(self, *, apply: bool) -> None:
        assert apply


def first_gradients(name: str, micro_batch: int | None) -> dict[str, Tensor]:
    """Gradients of all parameters in the first step of PVDGAN with a family's networks."""
    config = replace(TRAIN, global_batch=8, micro_batch=micro_batch)
    per_rank = lay_out_batch(config, 1).per_rank
    session = new_session(
        make_objective("pvdgan"),
        {role: network.double() for role, network in build(name).items()},
        lambda network, optimizer: Keeping(network, optimizer, per_rank),
        config=config,
        device=torch.device("cpu"),
    )
    batches = list(of_all_ranks(session, config, 1))
    train_step(session.objective, session.engines, batches, session.state, no_reduction)
    return {
        f"{role}/{key}": parameter.grad
        for role, network in session.networks.items()
        for key, parameter in network.named_parameters()
        if parameter.grad is not None
    }


@families
def test_micro_batches_give_the_gradients_of_the_whole_batch(name: str) -> None:
    expected = first_gradients(name, None)
    found = first_gradients(name, 2)
    assert found.keys() == expected.keys()
    assert {key.partition("/")[0] for key in expected} == {"g", "d"}
    for key, value in expected.items():
        assert float((found[key] - value).norm()) <= 1e-12 * float(value.norm()), key


@pytest.mark.parametrize(("global_batch", "world", "micro_batch"), LAYOUTS)
@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_every_slot_has_its_own_image_and_noise(
    variant: dict[str, Any], global_batch: int, world: int, micro_batch: int | None
) -> None:
    whole_config = replace(TRAIN, global_batch=global_batch)
    session = local_session(make_objective(**variant), whole_config)
    session.images_seen = 7 * global_batch
    session.position = replace(session.position, images=3 * global_batch)
    (whole,) = of_all_ranks(session, whole_config, world=1)
    config = replace(whole_config, micro_batch=micro_batch)
    cut = list(of_all_ranks(session, config, world))
    assert {batch.images_seen for batch in [whole, *cut]} == {7 * global_batch}
    assert {batch.step for batch in cut} == {7}
    assert {batch.micro_batches for batch in cut} == {len(cut)}
    slots = torch.cat([batch.slots_N for batch in cut])
    assert sorted(slots.tolist()) == list(range(global_batch))
    assert all(torch.equal(batch.slots_N, batch.slots_N.sort().values) for batch in cut)
    images = torch.cat([batch.real_NCHW for batch in cut])
    assert torch.equal(images, whole.real_NCHW[slots])
    for name, draw in whole.noise.items():
        assert torch.equal(torch.cat([batch.noise[name] for batch in cut]), draw[slots])


def test_some_layouts_cut_the_second_half_unevenly() -> None:
    """Otherwise the tests above would say nothing about such micro-batches."""
    uneven = set()
    for global_batch, world, micro_batch in LAYOUTS:
        config = replace(TRAIN, global_batch=global_batch, micro_batch=micro_batch)
        session = local_session(make_objective("pvdgan"), config)
        batches = of_all_ranks(session, config, world)
        counts = {int((batch.slots_N >= global_batch // 2).sum()) for batch in batches}
        if len(counts) > 1:
            uneven.add(global_batch)
    assert uneven >= {12, 6}


@settings(max_examples=100)
@given(st.integers(1, 64), st.integers(1, 16), st.none() | st.integers(1, 64))
def test_a_layout_is_exact_or_refused(batch: int, world: int, micro_batch: int | None) -> None:
    config = replace(TRAIN, global_batch=batch, micro_batch=micro_batch)
    share, rest = divmod(batch, world)
    size = min(micro_batch or share, share)
    if rest:
        with pytest.raises(ConfigError, match=f"train.global_batch = {batch}:"):
            lay_out_batch(config, world)
    elif share % size:
        with pytest.raises(ConfigError, match=f"train.micro_batch = {size}:"):
            lay_out_batch(config, world)
    else:
        layout = lay_out_batch(config, world)
        assert layout.world == world
        assert layout.per_rank * size == share
        assert layout.micro_batches * size == batch


@pytest.mark.parametrize("micro_batch", [0, -2])
def test_a_micro_batch_without_images_is_refused(micro_batch: int) -> None:
    with pytest.raises(ConfigError, match=f"micro_batch = {micro_batch}"):
        replace(TRAIN, micro_batch=micro_batch)
