"""Gradients of VAE/GAN and ALI against an autograd reference with separate phases, in float64.

The reference is written from the papers' algorithms. It computes each network's loss on forward
passes of its own, without cuts, and takes the gradient with respect to that network alone.
"""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from ganinv.objectives.base import MicroBatch
from ganinv.seams.engine import no_reduction
from ganinv.training.step import train_step
from tests.support.gradients import Gradients, KeepingEngine, difference, same_bits
from tests.support.micro_batches import random_batch
from tests.support.runs import NETWORK, build_networks, make_objective

BATCH, L = 8, NETWORK.latent_size
TOLERANCE = 1e-10  # relative
VARIANTS: list[dict[str, Any]] = [
    {"name": "vaegan", "gamma": 0.3, "lambda_prior": 0.7, "lambda_r1": 3.0},
    {"name": "vaegan", "gamma": 1e-3, "likelihood": "sum", "decoder_weights": "code"},
    {"name": "vaegan", "gamma": 0.3, "discriminate_reconstructions": False},
    {"name": "vaegan", "gamma": 0.3, "generator_loss": "minimax", "lambda_r1": 0.0},
    {"name": "ali", "lambda_r1": 3.0},
    {"name": "ali", "lambda_r1": 0.0},
]


def label(variant: dict[str, Any]) -> str:
    return "-".join(map(str, variant.values()))


def networks_of(variant: Mapping[str, Any]) -> dict[str, nn.Module]:
    """In float64, and with a ln σ that depends on the image."""
    networks = build_networks(objective=make_objective(**variant))
    for number, parameter in enumerate(networks["e"].log_deviation.parameters()):  # type: ignore[union-attr]
        draw = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
        parameter.data = draw
    return {name: network.double() for name, network in networks.items()}


def micro_batches(variant: Mapping[str, Any], count: int) -> list[MicroBatch]:
    whole, size = random_batch(make_objective(**variant), global_batch=BATCH), BATCH // count
    return [
        MicroBatch(
            images_seen=0,
            real_NCHW=whole.real_NCHW[start : start + size],
            slots_N=whole.slots_N[start : start + size],
            global_batch=BATCH,
            micro_batches=count,
            noise={name: draw[start : start + size] for name, draw in whole.noise.items()},
        )
        for start in range(0, BATCH, size)
    ]


def step_gradients(
    variant: Mapping[str, Any], networks: Mapping[str, nn.Module], count: int = 1
) -> dict[str, Gradients]:
    """Of every network, from `ganinv.training.step`."""
    objective = make_objective(**variant)
    engines = {
        name: KeepingEngine(network, torch.optim.SGD(network.parameters(), lr=0.1), count)
        for name, network in copy.deepcopy(dict(networks)).items()
    }
    state, batches = objective.new_state(BATCH), micro_batches(variant, count)
    assert train_step(objective, engines, batches, state, no_reduction).applied
    return {name: engine.kept for name, engine in engines.items()}


def r1(d: Any, x: Tensor, *codes: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(d(x, *codes).adversarial_B.sum(), x, create_graph=True)
    return slope.pow(2).sum() / BATCH


def posterior(nets: Mapping[str, Any], batch: MicroBatch) -> tuple[Normal, Tensor]:
    mean, log_deviation = nets["e"](batch.real_NCHW).split(L, dim=1)
    q = Normal(mean, log_deviation.clip(-6, 2).exp())
    return q, q.mean + q.stddev * batch.noise["epsilon"]


def vaegan_losses(
    nets: Mapping[str, Any], batch: MicroBatch, *, gamma: float, lambda_r1: float = 5.0, **o: Any
) -> dict[str, Tensor]:
    x = batch.real_NCHW
    q, z = posterior(nets, batch)
    prior = kl_divergence(q, Normal(0.0, torch.ones(()).double())).sum() / BATCH
    a, again, invented = (nets["d"](i) for i in (x, nets["g"](z), nets["g"](batch.noise["z"])))
    features = a.feature_BF.shape[1]
    llike = 0.5 * (a.feature_BF.detach() - again.feature_BF).pow(2).sum() / BATCH
    if o.get("likelihood", "mean") == "mean":
        prior, llike = prior / features, llike / features
    fakes = [invented.adversarial_B, again.adversarial_B]
    fakes = fakes if o.get("discriminate_reconstructions", True) else fakes[:1]
    l_d = -F.logsigmoid(a.adversarial_B).mean() + sum(-F.logsigmoid(-f).mean() for f in fakes)
    minimax = o.get("generator_loss") == "minimax"
    l_g = sum((F.logsigmoid(-f) if minimax else -F.logsigmoid(f)).mean() for f in fakes)
    rest = 1 - gamma if o.get("decoder_weights") == "code" else 1
    return {
        "e": o.get("lambda_prior", 1.0) * prior + llike,
        "g": gamma * llike + rest * l_g,
        "d": l_d + lambda_r1 * r1(nets["d"], x),
    }


def ali_losses(
    nets: Mapping[str, Any], batch: MicroBatch, *, lambda_r1: float
) -> dict[str, Tensor]:
    x, z = batch.real_NCHW, batch.noise["z"]
    _, z_hat = posterior(nets, batch)
    rho_q, rho_p = (nets["d"](*pair).adversarial_B for pair in ((x, z_hat), (nets["g"](z), z)))
    l_g = -(F.logsigmoid(-rho_q) + F.logsigmoid(rho_p)).mean()
    l_d = -(F.logsigmoid(rho_q) + F.logsigmoid(-rho_p)).mean()
    return {"e": l_g, "g": l_g, "d": l_d + lambda_r1 * r1(nets["d"], x, z_hat)}


LOSSES: dict[str, Any] = {"vaegan": vaegan_losses, "ali": ali_losses}


def reference(
    variant: Mapping[str, Any], networks: Mapping[str, nn.Module]
) -> dict[str, Gradients]:
    (batch,) = micro_batches(variant, 1)
    options = {key: value for key, value in variant.items() if key != "name"}
    found = {}
    for role in networks:
        nets = copy.deepcopy(dict(networks))
        parameters = dict(nets[role].named_parameters())
        loss = LOSSES[variant["name"]](nets, batch, **options)[role]
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        found[role] = dict(zip(parameters, gradients, strict=True))
    return found


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_a_step_equals_separate_phases(variant: dict[str, Any]) -> None:
    """On one micro-batch, and split in four."""
    networks = networks_of(variant)
    expected = reference(variant, networks)
    for count in (1, 4):
        found = step_gradients(variant, networks, count)
        assert found.keys() == expected.keys() == {"e", "g", "d"}
        for role in expected:
            assert difference(found[role], expected[role]) <= TOLERANCE, role


@pytest.mark.parametrize(
    ("changes", "untouched"),
    [
        ({"gamma": 7.0}, "ed"),
        ({"lambda_prior": 7.0}, "gd"),
        ({"generator_loss": "minimax"}, "ed"),
        ({"discriminate_reconstructions": False}, "e"),
        ({"lambda_r1": 7.0}, "eg"),
    ],
)
def test_terms_of_vaegan_reach_their_networks_alone(
    changes: dict[str, Any], untouched: str
) -> None:
    """Dis never sees L_llike, and the error of the GAN does not reach Enc: bit for bit."""
    before: dict[str, Any] = {"name": "vaegan", "gamma": 0.3}
    networks = networks_of(before)
    old, new = (step_gradients(v, networks) for v in (before, {**before, **changes}))
    for role in old:
        if role in untouched:
            assert same_bits(new[role], old[role]), role
        else:
            assert difference(new[role], old[role]) > 1e-2, role


@pytest.mark.parametrize("name", ["vaegan", "ali"])
def test_a_chain_that_stops_at_its_first_cut_would_be_noticed(name: str) -> None:
    """Most of the encoder's gradient flows back through the networks behind it."""
    variant = {"name": name, "lambda_r1": 3.0} | ({"gamma": 0.3} if name == "vaegan" else {})
    networks = networks_of(variant)
    (batch,) = micro_batches(variant, 1)
    q, _ = posterior(networks, batch)
    prior = kl_divergence(q, Normal(0.0, torch.ones(()).double())).sum() / BATCH
    parameters = dict(networks["e"].named_parameters())
    gradients = torch.autograd.grad(prior, list(parameters.values()))
    alone = dict(zip(parameters, gradients, strict=True))
    assert difference(alone, reference(variant, networks)["e"]) > 1e-2
