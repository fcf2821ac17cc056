"""Recomputed blocks: the same gradients, less memory, for every family."""

from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.speed.live_bytes import count
from ganinv.errors import ConfigError
from ganinv.networks.recomputing import recompute_finest
from tests.support.accelerated import BATCH, assert_steps_equal, step
from tests.support.families import LATENT_SIZE, build, families, normal
from tests.support.micro_batches import random_batch
from tests.support.runs import make_objective


def built(name: str, count: int) -> dict[str, nn.Module]:
    networks = {n: network.double() for n, network in build(name).items()}
    for network in networks.values():
        recompute_finest(network, count)
    return networks


@pytest.mark.parametrize("piecewise_linear", [True, False], ids=["first order", "double backward"])
@families
def test_gradients_are_the_same(name: str, piecewise_linear: bool) -> None:
    """R1 included, by way of either of its computations."""
    objective = make_objective("pvdgan", latent_size=LATENT_SIZE)
    batch = random_batch(objective, global_batch=BATCH)
    state = objective.new_state(BATCH)
    results = []
    for blocks in (0, 2):
        networks: dict[str, Any] = built(name, blocks)
        networks["d"].piecewise_linear = piecewise_linear
        results.append(step(objective, networks, [batch], state, None))
    assert_steps_equal(results[1], results[0], 1e-14)


@families
def test_live_bytes_fall(name: str) -> None:
    case = {
        "family": name, "network": {"latent_size": 64, "width": 16, "max_width": 32},
        "resolution": 32,
    }  # fmt: skip
    kept, one = (count({**case, "recompute_blocks": blocks}, batch=4).peak for blocks in (0, 1))
    assert one < 0.95 * kept


@families
def test_the_finest_blocks_are_chosen(name: str) -> None:
    """They run once more in the backward pass, and others do not."""
    networks: dict[str, Any] = build(name)
    arguments = {"g": normal(2, LATENT_SIZE), "d": normal(2, 3, 16, 16).requires_grad_()}
    for role, network in networks.items():
        recompute_finest(network, 1)
        ran: list[nn.Module] = []
        for block in network.blocks:
            block.register_forward_pre_hook(lambda block, _, ran=ran: ran.append(block))
        result = network(arguments[role])
        ran.clear()
        (result if role == "g" else result.adversarial_B).sum().backward()
        assert ran == [network.blocks[-1 if role == "g" else 0]]


def test_more_blocks_than_there_are_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"recompute_blocks = 3: .* 2 blocks"):
        recompute_finest(build("conv")["g"], 3)
    recompute_finest(nn.Linear(1, 1), 3)  # a network without blocks has nothing to recompute


def test_nothing_is_recomputed_without_gradients() -> None:
    network = build("conv")["g"]
    recompute_finest(network, 2)
    with torch.no_grad():
        expected = network(normal(2, LATENT_SIZE))
    traced = torch.export.export(network, (normal(2, LATENT_SIZE),)).module()
    torch.testing.assert_close(traced(normal(2, LATENT_SIZE)), expected)
