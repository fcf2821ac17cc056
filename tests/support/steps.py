"""One training step of any method, watched: what its rounds return, ask for and change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ganinv.codec import Codec
from ganinv.objectives.base import Objective, Round, RoundOutput
from ganinv.seams.engine import no_reduction
from ganinv.training.step import StepResult, train_step
from tests.support.micro_batches import local_engines, random_batch
from tests.support.runs import build_networks, make_objective

BATCH = 8


class Asked(Mapping[str, Tensor]):
    """Noise that records the names it was asked for."""

    def __init__(self, noise: Mapping[str, Tensor]) -> None:
        self.noise = noise
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        self.names.add(name)
        return self.noise[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.noise)

    def __len__(self) -> int:
        return len(self.noise)


@dataclass(frozen=True)
class Step:
    """One step from initial weights; `outputs`: of its rounds, `moved`: networks that changed."""

    objective: Objective
    networks: dict[str, nn.Module]
    before: dict[str, Tensor]
    result: StepResult
    noise: Asked
    outputs: list[RoundOutput]
    moved: set[str]


def networks_of(objective: Objective) -> dict[str, nn.Module]:
    """Its networks alone, at their initial weights."""
    built = build_networks(objective=objective)
    return {name: built[name] for name in objective.roles}


def weights_of(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value.detach().clone()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }


def one_step(variant: dict[str, Any], global_batch: int = BATCH) -> Step:
    objective = make_objective(**variant)
    networks = networks_of(objective)
    engines = local_engines(objective, networks)
    frozen = {name: network for name, network in networks.items() if name not in engines}
    weights = weights_of(networks)
    batch = random_batch(objective, global_batch=global_batch, dtype=torch.float32)
    noise = Asked(batch.noise)
    state = objective.new_state(global_batch)
    before = {name: value.clone() for name, value in state.items()}
    outputs: list[RoundOutput] = []
    result = train_step(
        recording(objective, outputs),
        engines,
        [replace(batch, noise=noise)],
        state,
        no_reduction,
        frozen,
    )
    assert all(torch.equal(state[name], value) for name, value in before.items())
    after = weights_of(networks)
    moved = {key.partition("/")[0] for key in after if not torch.equal(after[key], weights[key])}
    return Step(objective, networks, before, result, noise, outputs, moved)


def recording(objective: Objective, outputs: list[RoundOutput]) -> Objective:
    """The same method, whose rounds append what they return to `outputs`."""

    def recorded(round_: Round) -> Round:
        def wrapped(*arguments: Any) -> RoundOutput:
            output = round_(*arguments)
            outputs.append(output)
            return output

        return wrapped

    class Recording(type(objective)):  # type: ignore[misc]  # a class known only here
        rounds = tuple(recorded(round_) for round_ in objective.rounds)

    copy: Objective = Recording(objective.config, objective.latent.size)
    return copy


def rounds_without_backward(variant: dict[str, Any]) -> list[RoundOutput]:
    """What the rounds return at initial weights, with their graphs as they were built."""
    objective = make_objective(**variant)
    nets = networks_of(objective)
    batch = random_batch(objective, global_batch=BATCH, dtype=torch.float32)
    state = objective.new_state(BATCH)
    return [round_(nets, batch, state) for round_ in objective.rounds]


def codec_of(step: Step) -> Codec:
    """The trained model after the step, as an export makes it."""
    exported = {
        name: step.networks[name].eval().requires_grad_(False)
        for name, role in step.objective.roles.items()
        if role.exported
    }
    return step.objective.codec(exported, step.objective.tensors(step.result.state))
