"""How a global batch is cut over workers and micro-batches changes nothing but summation order.

The ranks of a run are simulated in one process: all their parts pass through one engine, which
averages gradients over the parts as the ranks' engines do together. In float64.
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
from ganinv.objectives.base import Part
from ganinv.seams.engine import no_reduction
from ganinv.training.session import Session, TrainConfig, cut_into_parts, split_batch
from ganinv.training.step import train_step
from tests.support.parts import in_double, label, objective_variants
from tests.support.runs import TRAIN, RandomImages, local_session, make_objective, snapshot

STEPS = 2
AUTHORS = {"schedule": "sequential", "share_trace": True, "vae_half": "first"}
VARIANTS = [*objective_variants(), {"name": "pvdgan", **AUTHORS}]
CUTS = [  # images in the global batch, workers, images in a micro-batch
    (16, 2, None),
    (16, 4, None),
    (16, 1, 4),
    (16, 2, 2),
    # Parts that hold unequal numbers of the samples of the batch's second half:
    (12, 4, None),
    (6, 3, 1),
]


class Trained(NamedTuple):
    """After the last step; `figures`: means of the statistics of every step."""

    tensors: dict[str, Tensor]
    figures: list[dict[str, Tensor]]


def all_parts(session: Session, config: TrainConfig, world: int) -> Iterator[Part]:
    """The parts of all ranks, rank by rank."""
    split = split_batch(config, world)
    for rank in range(world):
        source = RandomImages(config.global_batch, rank, world)
        batch = next(source.batches(session.position))
        for part in cut_into_parts(session, batch, config, split):
            yield in_double(part)


def trained(
    variant: dict[str, Any], global_batch: int, world: int, micro_batch: int | None
) -> Trained:
    config = replace(TRAIN, global_batch=global_batch, micro_batch=micro_batch)
    parts = split_batch(config, world).parts
    session = local_session(make_objective(**variant), config, parts, double=True)
    figures = []
    for _ in range(STEPS):
        cut = list(all_parts(session, config, world))
        result = train_step(session.objective, session.engines, cut, session.state, no_reduction)
        assert result.applied
        assert result.parts == parts
        figures.append({name: total / parts for name, total in result.statistics.items()})
        session.state = result.state
        session.images_seen += global_batch
        session.position = replace(session.position, images=session.images_seen)
    return Trained(snapshot(session), figures)


@cache
def trained_whole(variant: tuple[tuple[str, Any], ...], global_batch: int) -> Trained:
    return trained(dict(variant), global_batch, world=1, micro_batch=None)


@pytest.mark.parametrize(("global_batch", "world", "micro_batch"), CUTS)
@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_training_is_the_same_however_the_batch_is_cut(
    variant: dict[str, Any], global_batch: int, world: int, micro_batch: int | None
) -> None:
    expected = trained_whole(tuple(variant.items()), global_batch)
    found = trained(variant, global_batch, world, micro_batch)
    for found_figures, expected_figures in zip(found.figures, expected.figures, strict=True):
        torch.testing.assert_close(found_figures, expected_figures, rtol=1e-12, atol=1e-12)
    assert found.tensors.keys() == expected.tensors.keys()
    for name, value in expected.tensors.items():
        assert float((found.tensors[name] - value).abs().max()) <= 1e-12, name


@pytest.mark.parametrize(("global_batch", "world", "micro_batch"), CUTS)
@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_every_slot_has_its_own_image_and_noise(
    variant: dict[str, Any], global_batch: int, world: int, micro_batch: int | None
) -> None:
    whole_config = replace(TRAIN, global_batch=global_batch)
    session = local_session(make_objective(**variant), whole_config)
    session.images_seen = 7 * global_batch
    session.position = replace(session.position, images=3 * global_batch)
    (whole,) = all_parts(session, whole_config, world=1)
    config = replace(whole_config, micro_batch=micro_batch)
    parts = list(all_parts(session, config, world))
    assert {part.images_seen for part in [whole, *parts]} == {7 * global_batch}
    assert {part.step for part in parts} == {7}
    slots = torch.cat([part.slots_N for part in parts])
    assert sorted(slots.tolist()) == list(range(global_batch))
    assert all(torch.equal(part.slots_N, part.slots_N.sort().values) for part in parts)
    images = torch.cat([part.real_NCHW for part in parts])
    assert torch.equal(images, whole.real_NCHW[slots])
    for name, draw in whole.noise.items():
        assert torch.equal(torch.cat([part.noise[name] for part in parts]), draw[slots])


def test_some_cuts_hold_the_second_half_unevenly() -> None:
    """Otherwise the tests above would say nothing about such parts."""
    uneven = set()
    for global_batch, world, micro_batch in CUTS:
        config = replace(TRAIN, global_batch=global_batch, micro_batch=micro_batch)
        session = local_session(make_objective("pvdgan"), config)
        parts = all_parts(session, config, world)
        counts = {int((part.slots_N >= global_batch // 2).sum()) for part in parts}
        if len(counts) > 1:
            uneven.add(global_batch)
    assert uneven >= {12, 6}


@settings(max_examples=100)
@given(st.integers(1, 64), st.integers(1, 16), st.none() | st.integers(1, 64))
def test_a_split_is_exact_or_refused(batch: int, world: int, micro_batch: int | None) -> None:
    config = replace(TRAIN, global_batch=batch, micro_batch=micro_batch)
    share, rest = divmod(batch, world)
    size = min(micro_batch or share, share)
    if rest:
        with pytest.raises(ConfigError, match=f"train.global_batch = {batch}:"):
            split_batch(config, world)
    elif share % size:
        with pytest.raises(ConfigError, match=f"train.micro_batch = {size}:"):
            split_batch(config, world)
    else:
        assert split_batch(config, world).parts * size == batch


@pytest.mark.parametrize("micro_batch", [0, -2])
def test_a_micro_batch_of_no_images_is_refused(micro_batch: int) -> None:
    with pytest.raises(ConfigError, match=f"micro_batch = {micro_batch}"):
        replace(TRAIN, micro_batch=micro_batch)
