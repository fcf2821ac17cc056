"""A round as a function of tensors gives the same bits as the round, for every method."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from ganinv import objectives
from ganinv.errors import ConfigError
from ganinv.objectives.base import Objective
from ganinv.training.acceleration import AcceleratedRound
from ganinv.training.cuda_graphs import Captures
from tests.support.accelerated import BATCH, assert_steps_equal, halves, like_a_graph, step
from tests.support.families import LATENT_SIZE, build
from tests.support.micro_batches import label, objective_variants, random_batch
from tests.support.runs import make_objective
from tests.support.steps import networks_of

every_variant = pytest.mark.parametrize("variant", objective_variants(), ids=label)


def in_double(networks: dict[str, nn.Module]) -> dict[str, nn.Module]:
    return {name: network.double() for name, network in networks.items()}


def rounds_like_graphs(objective: Objective) -> list[AcceleratedRound]:
    return [
        AcceleratedRound(objective, round_, [like_a_graph], nullcontext)
        for round_ in objective.rounds
    ]


@every_variant
def test_steps_are_the_same_bits(variant: dict[str, Any]) -> None:
    """Even if every call writes to the same memory: gradients add up, moments do not mix."""
    objective = make_objective(**variant)
    networks = in_double(networks_of(objective))
    batches = halves(random_batch(objective, global_batch=BATCH))
    state = objective.new_state(BATCH)
    expected = step(objective, networks, batches, state, None)
    found = step(objective, networks, batches, state, rounds_like_graphs(objective))
    assert_steps_equal(found, expected, 0.0)


@every_variant
def test_steps_of_one_kind_are_the_same_function(variant: dict[str, Any]) -> None:
    """A method that takes more from the clock than `step_kind` says would show here."""
    objective = make_objective(**variant)
    networks = in_double(networks_of(objective))
    state = objective.new_state(BATCH)
    seen: dict[Any, Any] = {}
    for number in (0, 1, 3, 4):  # two of each kind, where every fourth step is another
        batch = random_batch(objective, global_batch=BATCH)
        batch = replace(batch, images_seen=number * BATCH)
        kind = objective.step_kind(batch.images_seen, BATCH)
        if kind not in seen and len(seen) == 2:
            return  # every step is of its own kind
        found = step(objective, networks, [batch], state, None)
        found[0].state.clear()  # a trace may follow the clock; it is updated outside of rounds
        assert_steps_equal(found, seen.setdefault(kind, found), 0.0)


def test_lazy_r1_has_two_kinds_of_steps() -> None:
    objective = make_objective("dlsgan", r1_every=4)
    kinds = [objective.step_kind(step_ * BATCH, BATCH) for step_ in range(8)]
    assert len(set(kinds)) == 2
    assert kinds[0] == kinds[4]
    assert kinds[0] != kinds[1]


class Counting(nn.Module):
    """A discriminator with a buffer that training changes."""

    calls: torch.Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, image_BCHW: torch.Tensor) -> Any:
        self.calls += 1
        return self.network(image_BCHW)


def test_buffers_that_change_are_refused() -> None:
    objective = make_objective("dlsgan", latent_size=LATENT_SIZE)
    networks = in_double(build("conv"))
    networks["d"] = Counting(networks["d"])
    batch = random_batch(objective, global_batch=BATCH)
    rounds = rounds_like_graphs(objective)
    with pytest.raises(ConfigError, match=r"buffer d\.calls"):
        step(objective, networks, [batch], objective.new_state(BATCH), rounds)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine")
@pytest.mark.parametrize("name", objectives.names())
def test_a_cuda_graph_gives_the_same(name: str) -> None:
    """On two steps with other images, so that the graph reads what it is given."""
    objective, captures = make_objective(name), Captures()
    networks = {n: network.double().cuda() for n, network in networks_of(objective).items()}
    rounds = [
        AcceleratedRound(objective, round_, [captures], nullcontext) for round_ in objective.rounds
    ]
    state = objective.new_state(BATCH)
    batch = random_batch(objective, global_batch=BATCH)
    for factor in (1.0, -0.5):
        moved = replace(
            batch,
            real_NCHW=factor * batch.real_NCHW.cuda(),
            slots_N=batch.slots_N.cuda(),
            noise={n: factor * draw.cuda() for n, draw in batch.noise.items()},
        )
        expected = step(objective, networks, [moved], state, None)
        found = step(objective, networks, [moved], state, rounds)
        assert_steps_equal(found, expected, 1e-9)
