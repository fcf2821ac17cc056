"""Steps whose rounds run in another way, compared with steps whose rounds run as they are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ganinv.objectives.base import MicroBatch, Objective, Round, State
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.acceleration import accelerated_rounds
from ganinv.training.config import TrainConfig
from ganinv.training.step import StepResult, train_step
from tests.support.families import LATENT_SIZE, build
from tests.support.micro_batches import random_batch
from tests.support.runs import TRAIN, make_objective

Rounds = Sequence[Round] | None
BATCH = 8
COMPILE = replace(TRAIN, global_batch=BATCH, compile=True)
TOLERANCE = 1e-12  # relative, of each parameter's gradient, in float64


@dataclass
class Keeping(LocalEngine):
    """Keeps the gradients of its last step."""

    kept: dict[str, Tensor] = field(default_factory=dict)

    def finish(self, *, apply: bool) -> None:
        named = self.network.named_parameters()
        self.kept = {name: p.grad.clone() for name, p in named if p.grad is not None}
        super().finish(apply=apply)


def step(
    objective: Objective,
    networks: Mapping[str, nn.Module],
    batches: Sequence[MicroBatch],
    state: State,
    rounds: Rounds,
) -> tuple[StepResult, dict[str, Tensor]]:
    """A step that changes no weight; its result, and all gradients by network and parameter."""
    engines = {
        name: Keeping(
            networks[name], torch.optim.SGD(networks[name].parameters(), lr=0.0), len(batches)
        )
        for name, role in objective.roles.items()
        if role.trained
    }
    frozen = {name: networks[name] for name in objective.roles if name not in engines}
    batches = [replace(batch, carry={}) for batch in batches]
    result = train_step(objective, engines, batches, state, no_reduction, frozen, rounds=rounds)
    return result, {f"{n}/{k}": g for n, e in engines.items() for k, g in e.kept.items()}


def assert_steps_equal(found: Any, expected: Any, tolerance: float) -> None:
    """Two results of `step`: gradients, statistics and state; `tolerance` is relative."""
    (found_result, found_gradients), (result, gradients) = found, expected
    assert found_result.applied == result.applied
    assert found_gradients.keys() == gradients.keys()
    for found_tensors, tensors in (
        (found_gradients, gradients),
        (found_result.statistics, result.statistics),
        (found_result.state, result.state),
    ):
        assert found_tensors.keys() == tensors.keys()
        for name, tensor in tensors.items():
            difference = float((found_tensors[name] - tensor).norm())
            assert difference <= tolerance * float(tensor.norm()), name


def halves(batch: MicroBatch) -> list[MicroBatch]:
    """A whole global batch as two micro-batches."""
    half = len(batch.real_NCHW) // 2
    return [
        replace(
            batch,
            real_NCHW=batch.real_NCHW[part],
            slots_N=batch.slots_N[part],
            noise={name: draw[part] for name, draw in batch.noise.items()},
            label_NK=None if batch.label_NK is None else batch.label_NK[part],
            micro_batches=2,
        )
        for part in (slice(0, half), slice(half, None))
    ]


def like_a_graph(
    function: Callable[[list[Tensor]], list[Tensor]], given: list[Tensor]
) -> Callable[[list[Tensor]], list[Tensor]]:
    """What a CUDA graph does to tensors: it reads and writes the same memory at every call."""
    held = [tensor.clone() for tensor in given]
    results = function(held)

    def call(tensors: list[Tensor]) -> list[Tensor]:
        for place, tensor in zip(held, tensors, strict=True):
            place.copy_(tensor)
        for place, tensor in zip(results, function(held), strict=True):
            place.copy_(tensor)
        return results

    return call


def assert_compiled_step_equals_plain(
    name: str,
    method: str,
    backend: str,
    *,
    resolution: int = 16,
    config: TrainConfig = COMPILE,
    device: str = "cpu",
    tolerance: float = TOLERANCE,
) -> None:
    objective = make_objective(method, latent_size=LATENT_SIZE)
    built = build(name, resolution=resolution, feature_block=-1)
    networks = {n: network.double().to(device) for n, network in built.items()}
    batch = random_batch(objective, global_batch=BATCH)
    state = objective.new_state(BATCH)
    rounds = accelerated_rounds(objective, config, backend=backend)
    for factor in (1.0, -0.5):  # compiled once
        other = replace(
            batch,
            real_NCHW=(factor * batch.real_NCHW[:, :, :resolution, :resolution]).to(device),
            slots_N=batch.slots_N.to(device),
            noise={n: draw.to(device) for n, draw in batch.noise.items()},
        )
        expected = step(objective, networks, [other], state, None)
        found = step(objective, networks, [other], state, rounds)
        assert_steps_equal(found, expected, tolerance)
