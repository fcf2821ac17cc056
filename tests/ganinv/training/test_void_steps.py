"""A step that meets a non-finite number changes nothing, on any rank."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from ganinv.objectives import pvdgan
from ganinv.objectives.base import MicroBatch, Nets, Objective, Round, RoundOutput, State
from ganinv.seams.engine import SumReduce, no_reduction
from ganinv.training.step import StepResult, train_step
from tests.support.micro_batches import local_engines, random_batch
from tests.support.runs import NETWORK, build_networks, make_objective

BATCH = 8
Spoil = Callable[[RoundOutput], None]


class Spoilt(pvdgan.Objective):
    """PVDGAN whose round was tampered with."""

    def __init__(self, spoil: Spoil) -> None:
        super().__init__(pvdgan.Config(), NETWORK.latent_size)
        self.spoil = spoil

    @property
    def rounds(self) -> tuple[Round, ...]:
        def spoilt(nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
            output = self.both(nets, batch, state)
            self.spoil(output)
            return output

        return (spoilt,)


class Outcome(NamedTuple):
    result: StepResult
    before: list[Tensor]
    after: list[Tensor]
    optimizer_steps: int


def step(objective: Objective, reduce: SumReduce = no_reduction) -> Outcome:
    networks = build_networks()
    engines = local_engines(objective, networks)
    batch = random_batch(objective, global_batch=BATCH, dtype=torch.float32)
    state = objective.new_state(BATCH)

    def tensors() -> list[Tensor]:
        weights = [p.detach().clone() for n in networks.values() for p in n.parameters()]
        return weights + [value.clone() for value in state.values()]

    before = tensors()
    result = train_step(objective, engines, [batch], state, reduce)
    state = result.state
    steps = max(engine.optimizer_fragments()[1] for engine in engines.values())
    return Outcome(result, before, tensors(), steps)


def spoil_gradient_of_g(output: RoundOutput) -> None:
    (image,) = output.losses["g"].through
    image.output.register_hook(lambda gradient: gradient * float("nan"))


def spoil_gradient_of_d(output: RoundOutput) -> None:
    output.losses["d"].value.register_hook(lambda gradient: gradient * float("inf"))


def spoil_loss(output: RoundOutput) -> None:
    """An overflown loss whose gradient is finite."""
    output.statistics["loss/g"].data += float("inf")


def spoil_moment(output: RoundOutput) -> None:
    """Real codes outside of the VAE half enter the trace alone."""
    output.moments["real"][0] = float("inf")


def assert_void(outcome: Outcome) -> None:
    assert not outcome.result.applied
    assert outcome.result.statistics == {}
    assert outcome.optimizer_steps == 0
    assert all(torch.equal(a, b) for a, b in zip(outcome.before, outcome.after, strict=True))


def test_an_untouched_step_is_applied() -> None:
    outcome = step(make_objective("pvdgan"))
    assert outcome.result.applied
    assert not any(torch.equal(a, b) for a, b in zip(outcome.before, outcome.after, strict=True))


@pytest.mark.parametrize(
    "spoil", [spoil_gradient_of_g, spoil_gradient_of_d, spoil_loss, spoil_moment]
)
def test_a_step_with_a_non_finite_number_is_void(spoil: Spoil) -> None:
    assert_void(step(Spoilt(spoil)))


def test_a_void_second_round_leaves_the_discriminator_stepped() -> None:
    """The one thing that stays of a void step: G's losses are those of the D that has stepped."""
    verdicts = iter([0.0, 1.0])  # what ranks together say of the first round and of the second
    objective = make_objective("pvdgan", schedule="sequential")
    outcome = step(objective, reduce=lambda total: torch.full_like(total, next(verdicts)))
    assert not outcome.result.applied
    assert outcome.result.statistics == {}
    unchanged = [torch.equal(a, b) for a, b in zip(outcome.before, outcome.after, strict=True)]
    of_g, of_d = (len(list(build_networks()[name].parameters())) for name in "gd")
    assert unchanged == [True] * of_g + [False] * of_d + [True] * 2  # and both traces


def test_what_another_rank_meets_voids_the_step_here() -> None:
    assert_void(step(make_objective("pvdgan"), reduce=lambda total: total + 1))
