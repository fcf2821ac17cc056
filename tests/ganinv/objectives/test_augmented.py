"""Augmentation in the steps of the methods: what D judges, what the encoder sees, how p moves.

Shapes: N samples of a micro-batch, C × H × W image, L latent elements.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv import objectives
from ganinv.augmentation import adapting
from ganinv.augmentation.options import AugmentConfig
from ganinv.augmentation.transforming import augmented
from ganinv.errors import ConfigError
from ganinv.objectives.augmented import STATE
from ganinv.objectives.base import MicroBatch
from ganinv.objectives.losses import LossConfig
from ganinv.schedules import Schedule
from tests.ganinv.objectives.test_losses import (
    BATCH,
    R3GAN,
    difference,
    of_scaled_codes,
    parts,
    squared_slope,
    step,
    with_biases,
)
from tests.support.families import LATENT_SIZE
from tests.support.gradients import Gradients, same_bits
from tests.support.runs import make_objective
from tests.support.steps import networks_of

FIXED = AugmentConfig(kind="fixed", p=0.6, cutout=0.5)
TAKING = [
    name for name in objectives.names() if issubclass(objectives.find(name).Config, LossConfig)
]


@pytest.mark.parametrize("name", TAKING)
def test_p_0_is_no_augmentation_to_the_bit(name: str) -> None:
    rising = Schedule(kind="linear", start=0.0, end=0.5, until=1000)
    plain, at_first = (
        make_objective(name, augment=augment, **R3GAN)
        for augment in (AugmentConfig(), AugmentConfig(kind="fixed", p=rising))
    )
    networks = networks_of(plain)
    for network in networks.values():
        network.double()
    expected, statistics = step(plain, networks, parts(plain, 1))
    (batch,) = parts(at_first, 1)
    found, same = step(at_first, networks, [batch])
    assert all(same_bits(found[network], expected[network]) for network in expected)
    assert statistics == {key: same[key] for key in statistics}
    assert same["augment/p"] == 0
    later = step(at_first, networks, [replace(batch, images_seen=500)])[1]
    assert later["augment/p"] == 0.25
    assert later["d/real"] != statistics["d/real"]
    assert at_first.step_kind(500, BATCH) != at_first.step_kind(0, BATCH)


def reference(networks: Mapping[str, nn.Module], batch: MicroBatch) -> dict[str, Gradients]:
    """DLSGAN with R3GAN's losses of T(x) and T(G(z)), and the encoder's of G(z); the scale is 1."""
    p = torch.tensor(0.6)
    x = augmented(batch.real_NCHW, batch.noise["augment_real"], p, FIXED).requires_grad_()
    found = {}
    for name in networks:
        g, d = (copy.deepcopy(networks[key]) for key in ("g", "d"))
        clean = g(batch.noise["z"])
        image = augmented(clean, batch.noise["augment_generated"], p, FIXED)
        if name == "d":
            clean, image = clean.detach(), image.detach().requires_grad_()
        real_N, fake_N = d(x).adversarial_B, d(image).adversarial_B
        encoder = F.mse_loss(d(clean).latent_BL, batch.noise["z"])
        if name == "d":
            loss = -F.logsigmoid(real_N - fake_N).mean() + encoder
            loss = loss + 3.0 * squared_slope(real_N, x) + 2.0 * squared_slope(fake_N, image)
        else:
            loss = -F.logsigmoid(fake_N - real_N).mean() + encoder
        named = dict((g if name == "g" else d).named_parameters())
        slopes = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        found[name] = {n: v for n, v in zip(named, slopes, strict=True) if v is not None}
    return found


@pytest.mark.parametrize("family", ["r3gan", "conv"])
def test_a_step_has_the_gradients_of_double_backward(family: str) -> None:
    objective = make_objective(
        "dlsgan", latent_size=LATENT_SIZE, scale="mse", augment=FIXED, **R3GAN
    )
    networks = of_scaled_codes(family)
    found, _ = step(objective, networks, parts(objective, 1))
    (whole,) = parts(objective, 1)
    for name, gradients in reference(networks, whole).items():
        assert difference(found[name], gradients) <= 1e-12


@pytest.mark.parametrize("schedule", ["simultaneous", "sequential"])
def test_codes_and_features_are_of_clean_images(schedule: str) -> None:
    """Of PVDGAN, which encodes real images, too. R1 and the adversarial values are of T's."""
    plain, other = (
        make_objective("pvdgan", schedule=schedule, augment=augment)
        for augment in (AugmentConfig(), replace(FIXED, p=1.0))
    )
    networks = with_biases(networks_of(plain))
    (batch,) = parts(plain, 1)
    (augmented_batch,) = parts(other, 1)
    nets: Any = {**networks}
    state = plain.new_state(BATCH)
    expected = plain.rounds[0](nets, batch, state)
    found = other.rounds[0](nets, augmented_batch, state)
    for name, moment in expected.moments.items():
        torch.testing.assert_close(found.moments[name], moment, rtol=1e-12, atol=1e-12)
    clean = expected.statistics.keys() & {"loss/enc", "loss/rec"}
    assert len(clean) == (2 if schedule == "simultaneous" else 0)
    for name, value in expected.statistics.items():
        same = torch.allclose(found.statistics[name], value, rtol=1e-12, atol=0)
        assert same == (name in clean), name
    for name, value in batch.carry.items():
        torch.testing.assert_close(augmented_batch.carry[name], value, rtol=1e-12, atol=1e-12)
    if schedule == "sequential":
        (batch_2, augmented_2) = (
            method.rounds[1](nets, one, state).statistics
            for method, one in ((plain, batch), (other, augmented_batch))
        )
        for name in ("loss/enc", "loss/rec"):
            assert batch_2[name].item() == pytest.approx(augmented_2[name].item(), rel=1e-12)
        assert batch_2["d/fake"].item() != pytest.approx(augmented_2["d/fake"].item(), rel=1e-6)


def moved(config: AugmentConfig, state: Tensor, steps: int, values: list[float]) -> Tensor:
    for number in range(steps):
        moments = adapting.moments(torch.tensor(values))
        state = adapting.next_state(
            config, state, moments, images_seen=len(values) * number, global_batch=len(values)
        )
    return state


def test_p_rises_while_d_tells_images_apart_and_else_falls() -> None:
    config = AugmentConfig(kind="adaptive", p=0.1, speed_images=100, interval=2)
    start = adapting.new_state(config)
    assert start.dtype == torch.float64
    assert moved(config, start, 1, [1.0, 2.0]).tolist() == [0.1, 2, 2]  # waits for another step
    assert moved(config, start, 4, [1.0, 2.0]).tolist() == pytest.approx([0.18, 0, 0])
    assert moved(config, start, 4, [1.0, -2.0]).tolist() == pytest.approx([0.02, 0, 0])
    assert moved(config, start, 40, [1.0, -2.0]).tolist() == [0, 0, 0]
    assert moved(config, start, 80, [1.0, 2.0]).tolist() == [1, 0, 0]


@pytest.mark.parametrize("adversarial", ["nonsaturating", "relativistic"])
def test_signs_are_those_of_the_decisions_of_the_loss(adversarial: str) -> None:
    objective = make_objective(
        "pvdgan", adversarial=adversarial, augment=AugmentConfig(kind="adaptive", p=0.2)
    )
    networks = with_biases(networks_of(objective))
    (batch,) = parts(objective, 1)
    nets: Any = {**networks}
    output = objective.both(nets, batch, objective.new_state(BATCH))  # type: ignore[attr-defined]
    total, count = output.moments[STATE].tolist()
    assert count == BATCH
    assert total / count == pytest.approx(output.statistics["augment/signs"].item())
    x = augmented(
        batch.real_NCHW, batch.noise["augment_real"], torch.tensor(0.2),
        AugmentConfig(kind="fixed"),
    )  # fmt: skip
    signs = networks["d"](x).adversarial_B.detach().sign()
    same = float(signs.mean()) == pytest.approx(total / count)
    assert same == (adversarial == "nonsaturating")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "fixed", "p": 1.5}, r"p = 1.5: a probability lies in \[0, 1\]"),
        ({"p": 0.3}, "p = 0.3: kind = none has no augmentation; also give kind=fixed"),
        (
            {"kind": "adaptive", "p": {"kind": "linear", "start": 0, "end": 0.5, "until": 9}},
            "kind = adaptive moves p by itself",
        ),
        ({"kind": "adaptive", "target": 1.0}, "target = 1.0: the mean of signs"),
        ({"speed_images": 0}, "speed_images = 0: must be at least 1"),
        ({"interval": 0}, "interval = 0: must be at least 1"),
        ({"colour": 2.0}, r"colour = 2.0: must lie in \[0, 1\]"),
        (
            {"kind": "fixed", "blit": 0, "geometry": 0, "colour": 0},
            "kind = fixed: blit, geometry, colour, cutout are all 0",
        ),
    ],
)
def test_impossible_options_say_why(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        AugmentConfig(**options)
