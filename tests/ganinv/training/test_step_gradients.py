"""Gradients of the shared-graph step against separate phases, each loss on a graph of its own.

The reference is written from Algorithm 1 of both papers and uses PyTorch alone. All in float64.
"""

import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv.objectives.base import MicroBatch
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.step import train_step
from tests.support.micro_batches import label, random_batch
from tests.support.runs import NETWORK, build_networks, make_objective

BATCH = 8
TOLERANCE = 1e-10  # relative
LAMBDAS = {"lambda_enc": 0.7, "lambda_r1": 3.0}
VARIANTS: list[dict[str, Any]] = [
    {"name": "dlsgan", "scale": scale, "encoder_loss_to": to}
    for scale in ("dls", "mse")
    for to in ("d", "dg")
] + [{"name": "pvdgan", "lambda_rec": 1.3}, {"name": "pvdgan", "vae_half": "first"}]
Gradients = dict[str, Tensor]


@dataclass
class KeepingEngine(LocalEngine):
    """Keeps the gradients of its last step. Unlike `LocalEngine` it lets a backward pass reach all
    that the graph holds, so that nothing but the step itself keeps the two losses apart.
    """

    kept: Gradients = field(default_factory=dict)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        del last
        loss.backward()

    def finish(self, *, apply: bool) -> None:
        self.kept = gradients_of(self.network)
        super().finish(apply=apply)


class Case(NamedTuple):
    """One step's inputs: networks at old weights, real images and noise, and the traces."""

    variant: dict[str, Any]
    networks: dict[str, nn.Module]
    batch: MicroBatch
    state: dict[str, Tensor]


def gradients_of(network: nn.Module) -> Gradients:
    named = network.named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def case(**variant: Any) -> Case:
    objective = make_objective(**{**LAMBDAS, **variant})
    networks = {name: network.double() for name, network in build_networks().items()}
    state = objective.new_state(BATCH)
    spread_L = torch.linspace(0.1, 1.2, NETWORK.latent_size, dtype=torch.float64)
    state = {name: spread_L.roll(shift) for shift, name in enumerate(state)}
    batch = random_batch(objective, global_batch=BATCH)
    return Case({**LAMBDAS, **variant}, networks, batch, state)


def step_gradients(case: Case) -> tuple[Gradients, Gradients]:
    """Of G and of D, from `ganinv.training.step`."""
    engines = {
        name: KeepingEngine(network, torch.optim.SGD(network.parameters(), lr=0.1))
        for name, network in copy.deepcopy(case.networks).items()
    }
    objective = make_objective(**case.variant)
    result = train_step(objective, engines, [case.batch], case.state, no_reduction)
    assert result.applied
    return engines["g"].kept, engines["d"].kept


class Reference:
    """Both losses of a case, each from forward passes of its own. `s_L`, `z_NL`: Alg. 1."""

    def __init__(self, case: Case) -> None:
        self.variant = case.variant
        networks = copy.deepcopy(case.networks)
        self.g, self.d = networks["g"], networks["d"]
        self.x_NCHW = case.batch.real_NCHW
        self.z_NL = case.batch.noise["z"].clone()
        deviation_L = case.state["fake"].sqrt()
        self.s_L = len(deviation_L) ** 0.5 * deviation_L / deviation_L.square().sum().sqrt()
        if self.variant.get("scale") == "mse":
            self.s_L = torch.ones_like(self.s_L)
        if self.variant["name"] == "pvdgan":
            first = self.variant.get("vae_half") == "first"
            self.vae = slice(0, BATCH // 2) if first else slice(BATCH // 2, None)
            with torch.no_grad():
                _, z_r_NL, self.y_r_NF = self.d(self.x_NCHW)
            spread_L = (1 - case.state["real"]).clamp(min=0).sqrt()
            self.z_NL[self.vae] = z_r_NL[self.vae] + self.z_NL[self.vae] * spread_L

    def encoder_loss(self, predicted_NL: Tensor) -> Tensor:
        error_NL: Tensor = (self.z_NL - predicted_NL) * self.s_L
        return error_NL.pow(2).sum() / self.z_NL.numel()

    def discriminator_loss(self) -> Tensor:
        with torch.no_grad():
            image_NCHW = self.g(self.z_NL * self.s_L)
        a_f, predicted_NL, _ = self.d(image_NCHW)
        a_r = self.d(self.x_NCHW)[0]
        loss: Tensor = -F.logsigmoid(a_r).mean() - F.logsigmoid(-a_f).mean()
        loss = loss + self.variant["lambda_enc"] * self.encoder_loss(predicted_NL)
        penalty: Tensor = self.variant["lambda_r1"] * self.r1()
        return loss + penalty

    def r1(self) -> Tensor:
        x_NCHW = self.x_NCHW.clone().requires_grad_()
        (slope,) = torch.autograd.grad(self.d(x_NCHW)[0].sum(), x_NCHW, create_graph=True)
        return slope.pow(2).sum() / BATCH

    def generator_loss(self) -> Tensor:
        a_f, predicted_NL, y_NF = self.d(self.g(self.z_NL * self.s_L))
        loss: Tensor = -F.logsigmoid(a_f).mean()
        if self.variant.get("encoder_loss_to", "dg") == "dg":
            loss = loss + self.variant["lambda_enc"] * self.encoder_loss(predicted_NL)
        if self.variant["name"] == "pvdgan":
            rec = F.mse_loss(y_NF[self.vae], self.y_r_NF[self.vae])
            loss = loss + self.variant.get("lambda_rec", 1.0) * rec
        return loss

    def gradients(self) -> tuple[Gradients, Gradients]:
        """∂L_g/∂G alone and ∂L_d/∂D alone."""
        self.generator_loss().backward()
        of_g = gradients_of(self.g)
        self.d.zero_grad()
        self.discriminator_loss().backward()
        return of_g, gradients_of(self.d)


def difference(found: Gradients, expected: Gradients) -> float:
    """The largest relative difference of any parameter's gradient."""
    assert found.keys() == expected.keys()
    assert all(value.norm() > 0 for value in expected.values())
    return max(float((found[n] - g).norm() / g.norm()) for n, g in expected.items())


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_shared_graph_equals_separate_phases(variant: dict[str, Any]) -> None:
    """So L_g leaves nothing in D's gradients and L_d nothing in G's."""
    given = case(**variant)
    found_g, found_d = step_gradients(given)
    expected_g, expected_d = Reference(given).gradients()
    assert difference(found_g, expected_g) <= TOLERANCE
    assert difference(found_d, expected_d) <= TOLERANCE


@pytest.mark.parametrize("name", ["dlsgan", "pvdgan"])
def test_a_loss_that_leaks_would_be_noticed(name: str) -> None:
    """D's gradient from both losses, and G's from both, are far from what the step gives."""
    given = case(name=name)
    found_g, found_d = step_gradients(given)
    leaky = Reference(given)
    leaky.generator_loss().backward()
    leaky.discriminator_loss().backward()
    assert difference(found_d, gradients_of(leaky.d)) > 1e-2
    leaky = Reference(given)
    leaky.generator_loss().backward()
    leaky.encoder_loss(leaky.d(leaky.g(leaky.z_NL * leaky.s_L))[1]).backward()
    assert difference(found_g, gradients_of(leaky.g)) > 1e-2


def test_r1_left_out_would_be_noticed() -> None:
    given = case(name="dlsgan")
    _, found_d = step_gradients(given)
    without_r1 = given._replace(variant={**given.variant, "lambda_r1": 0.0})
    _, without_d = Reference(without_r1).gradients()
    assert difference(found_d, without_d) > 1e-2


@pytest.mark.parametrize(
    ("name", "option", "changed", "untouched"),
    [
        ("dlsgan", "encoder_loss_to", "d", "d"),
        ("pvdgan", "lambda_rec", 50.0, "d"),
        ("dlsgan", "lambda_r1", 50.0, "g"),
        ("pvdgan", "lambda_r1", 50.0, "g"),
    ],
)
def test_a_term_of_one_loss_leaves_the_other_network_alone(
    name: str, option: str, changed: float | str, untouched: str
) -> None:
    """Bit for bit, while the network whose loss holds the term does feel it."""
    before = dict(zip("gd", step_gradients(case(name=name)), strict=True))
    after = dict(zip("gd", step_gradients(case(name=name, **{option: changed})), strict=True))
    touched = "g" if untouched == "d" else "d"
    assert all(torch.equal(after[untouched][n], g) for n, g in before[untouched].items())
    assert difference(after[touched], before[touched]) > 1e-2
