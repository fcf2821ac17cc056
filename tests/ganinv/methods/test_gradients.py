"""Gradients of a step against an autograd reference with separate phases, for both methods.

The reference computes each network's loss on forward passes of its own, without any cut, and takes
the gradient with respect to that network alone. All in float64.
"""

import copy
from collections.abc import Iterator, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv.objectives.base import MicroBatch, Objective
from ganinv.seams.engine import no_reduction
from ganinv.training.step import train_step
from tests.support.gradients import Gradients, KeepingEngine, difference
from tests.support.methods import LATENT_SIZE, make_method, make_networks, registered

BATCH = 8
TOLERANCE = 1e-10  # relative


@pytest.fixture(autouse=True)
def methods() -> Iterator[None]:
    with registered():
        yield


def micro_batches(objective: Objective, count: int) -> list[MicroBatch]:
    generator = torch.Generator().manual_seed(1)
    real = torch.randn(BATCH, 3, 16, 16, generator=generator, dtype=torch.float64).clamp(-1, 1)
    noise = {
        name: torch.randn(BATCH, LATENT_SIZE, generator=generator, dtype=torch.float64)
        for name in objective.noise
    }
    size = BATCH // count
    return [
        MicroBatch(
            images_seen=0,
            real_NCHW=real[start : start + size],
            slots_N=torch.arange(start, start + size),
            global_batch=BATCH,
            micro_batches=count,
            noise={name: draw[start : start + size] for name, draw in noise.items()},
        )
        for start in range(0, BATCH, size)
    ]


def step_gradients(
    name: str, networks: Mapping[str, nn.Module], count: int
) -> dict[str, Gradients]:
    objective = make_method(name)
    networks = copy.deepcopy(dict(networks))
    engines = {
        role: KeepingEngine(network, torch.optim.SGD(network.parameters(), lr=0.1), count)
        for role, network in networks.items()
        if objective.roles[role].trained
    }
    frozen = {
        role: network.requires_grad_(False)
        for role, network in networks.items()
        if role not in engines
    }
    batches = micro_batches(objective, count)
    result = train_step(
        objective, engines, batches, objective.new_state(BATCH), no_reduction, frozen
    )
    assert result.applied
    return {role: engine.kept for role, engine in engines.items()}


def plain_losses(nets: Mapping[str, nn.Module], batch: MicroBatch) -> dict[str, Tensor]:
    g, d = nets["g"], nets["d"]
    fake = d(g(batch.noise["z"]))
    real = d(batch.real_NCHW)
    return {
        "d": (-F.logsigmoid(real) - F.logsigmoid(-fake)).mean(),
        "g": -F.logsigmoid(fake).mean(),
    }


def chained_losses(nets: Mapping[str, nn.Module], batch: MicroBatch) -> dict[str, Tensor]:
    x = batch.real_NCHW
    mean, log_variance = nets["e"](x).split(LATENT_SIZE, dim=1)
    again = nets["g"](mean + torch.sqrt(log_variance.exp()) * batch.noise["posterior"])
    invented = nets["g"](batch.noise["prior"])
    kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum() / mean.numel()
    rec = F.mse_loss(nets["p"](again), nets["p"](x))
    of_real, of_again, of_invented = (nets["d"](image)[:, 0] for image in (x, again, invented))
    return {
        "e": kl + rec,
        "g": 2.0 * rec - F.logsigmoid(of_again).mean() - F.logsigmoid(of_invented).mean(),
        "d": -F.logsigmoid(of_real).mean()
        - F.logsigmoid(-of_again).mean()
        - F.logsigmoid(-of_invented).mean(),
    }


LOSSES = {"plain_gan": plain_losses, "chained": chained_losses}


def reference(name: str, networks: Mapping[str, nn.Module]) -> dict[str, Gradients]:
    """Every network's gradient of its own loss, each on a graph of its own."""
    objective = make_method(name)
    (batch,) = micro_batches(objective, 1)
    found = {}
    for role in (role for role, r in objective.roles.items() if r.trained):
        nets = copy.deepcopy(dict(networks))
        parameters = dict(nets[role].named_parameters())
        gradients = torch.autograd.grad(LOSSES[name](nets, batch)[role], list(parameters.values()))
        found[role] = dict(zip(parameters, gradients, strict=True))
    return found


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("name", LOSSES)
def test_a_step_equals_separate_phases(name: str, count: int) -> None:
    networks = make_networks(name, torch.float64)
    found, expected = step_gradients(name, networks, count), reference(name, networks)
    assert found.keys() == expected.keys()
    for role in expected:
        assert difference(found[role], expected[role]) <= TOLERANCE, role


def test_a_chain_that_stops_at_its_first_cut_would_be_noticed() -> None:
    """Most of the encoder's gradient flows back through the decoder."""
    networks = make_networks("chained", torch.float64)
    expected = reference("chained", networks)["e"]
    (batch,) = micro_batches(make_method("chained"), 1)
    nets = copy.deepcopy(networks)
    mean, log_variance = nets["e"](batch.real_NCHW).split(LATENT_SIZE, dim=1)
    kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum() / mean.numel()
    parameters = dict(nets["e"].named_parameters())
    alone = dict(zip(parameters, torch.autograd.grad(kl, list(parameters.values())), strict=True))
    assert difference(alone, expected) > 1e-2


def test_a_loss_that_reaches_another_network_would_be_noticed() -> None:
    """The sum of all losses gives the decoder another gradient than its own loss."""
    networks = make_networks("chained", torch.float64)
    found = step_gradients("chained", networks, 1)["g"]
    (batch,) = micro_batches(make_method("chained"), 1)
    nets = copy.deepcopy(networks)
    losses = chained_losses(nets, batch)
    parameters = dict(nets["g"].named_parameters())
    total = torch.stack(list(losses.values())).sum()
    leaky = dict(
        zip(parameters, torch.autograd.grad(total, list(parameters.values())), strict=True)
    )
    assert difference(found, leaky) > 1e-2
