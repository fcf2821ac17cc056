"""A round of a method, with all its gradients, as one function from tensors to tensors.

Compilers and CUDA graphs take such functions. What a round reads besides tensors is fixed in the
function: shapes, sizes of batches, and the numbers that its method takes from the clock
(`Objective.step_kind`). Real images, slots, labels, noise, traces and what the rounds before it
carry to it are arguments. Weights are no arguments: a function reads those of the networks where
they lie, and optimizers change them in place.

`whole` turns a round into such a function, and `as_output` turns the results into what the round
itself would have returned, with the given gradients in place of graphs. So a step and its engines
see no difference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ganinv.errors import ConfigError
from ganinv.networks.piecewise import with_gradients
from ganinv.objectives.base import Loss, MicroBatch, Nets, Round, RoundOutput, State
from ganinv.training.step import backward

Function = Callable[[list[Tensor]], list[Tensor]]
SEPARATOR = "/"  # of a group of tensors and the name in it


@dataclass
class RoundFunction:
    """`call` computes a round and its gradients. `given` and `found` name arguments and results.

    `found` is empty until the first call.
    """

    call: Function
    given: tuple[str, ...]
    parameters: Mapping[str, list[nn.Parameter]]
    found: list[str]


def arguments(batch: MicroBatch, state: State) -> dict[str, Tensor]:
    """All tensors that a round sees, by name, on the device of the images."""
    device = batch.real_NCHW.device
    groups: dict[str, Mapping[str, Tensor]] = {
        "noise": batch.noise, "carry": batch.carry, "state": state,
    }  # fmt: skip
    found = {"real": batch.real_NCHW, "slots": batch.slots_N}
    if batch.label_NK is not None:
        found["label"] = batch.label_NK
    for group, tensors in groups.items():
        for name, tensor in tensors.items():
            found[f"{group}{SEPARATOR}{name}"] = tensor.to(device, non_blocking=True)
    return found


def whole(round_: Round, nets: Nets, batch: MicroBatch, state: State) -> RoundFunction:
    """The function of a round, for batches like `batch`."""
    given = tuple(arguments(batch, state))
    # Without tensors, which would be kept as long as the function.
    none = torch.empty(0)
    sizes = replace(batch, real_NCHW=none, slots_N=none, noise={}, label_NK=None, carry={})
    networks: dict[str, Any] = {name: getattr(net, "network", net) for name, net in nets.items()}
    parameters = {
        name: [p for p in network.parameters() if p.requires_grad]
        for name, network in networks.items()
    }

    names: list[str] = []

    def call(tensors: list[Tensor]) -> list[Tensor]:
        by_name = dict(zip(given, tensors, strict=True))
        carried = group_of("carry", by_name)
        own_batch = replace(
            sizes,
            real_NCHW=by_name["real"],
            slots_N=by_name["slots"],
            noise=group_of("noise", by_name),
            label_NK=by_name.get("label"),
            carry=carried,
        )
        with torch.enable_grad():
            found = _computed(
                round_(nets, own_batch, group_of("state", by_name)), parameters, carried
            )
        names[:] = found
        return list(found.values())

    return RoundFunction(call=call, given=given, parameters=parameters, found=names)


def as_output(function: RoundFunction, results: list[Tensor], batch: MicroBatch) -> RoundOutput:
    """What the round returns; `batch` gets what it carries to the next one.

    `results` may be overwritten by the next call of the function.
    """
    by_name = dict(zip(function.found, results, strict=True))
    batch.carry.update(_copies(group_of("carry", by_name)))
    losses = {}
    for name, value in group_of("loss", by_name).items():
        gradients = group_of(f"gradient{SEPARATOR}{name}", by_name)
        weights = [function.parameters[name][int(number)] for number in gradients]
        losses[name] = Loss(with_gradients(value.clone(), list(gradients.values()), weights))
    return RoundOutput(
        losses=losses,
        statistics=_copies(group_of("statistic", by_name)),
        moments=_copies(group_of("moment", by_name)),
    )


def check_buffers(networks: Mapping[str, nn.Module], before: Mapping[str, Tensor]) -> None:
    """Raises `ConfigError` if a buffer is not what `buffers` gave before a call."""
    for name, value in buffers(networks).items():
        if not torch.equal(value, before[name]):
            raise ConfigError(
                f"network.name: training changes the buffer {name}, which functions of tensors "
                "cannot do; leave out train.compile and train.cuda_graphs"
            )


def buffers(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Copies of all buffers, by the names of network and buffer."""
    return {
        f"{name}.{key}": value.detach().clone()
        for name, network in networks.items()
        for key, value in network.named_buffers()
    }


def group_of(group: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with the group's, without it."""
    prefix = group + SEPARATOR
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _computed(
    output: RoundOutput, parameters: Mapping[str, list[nn.Parameter]], carried: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """All results of a round by name, without graphs."""
    stepping = {name: loss for name, loss in output.losses.items() if parameters[name]}
    takers: dict[str, Any] = {name: _Taker(parameters[name]) for name in stepping}
    backward(takers, stepping, last=True)
    groups = {
        "loss": {name: loss.value for name, loss in stepping.items()},
        "statistic": output.statistics,
        "moment": output.moments,
        "carry": carried,
    }
    found = {
        f"{group}{SEPARATOR}{name}": value.detach()
        for group, values in groups.items()
        for name, value in values.items()
    }
    for name, taker in takers.items():
        for number, gradient in enumerate(taker.gradients):
            if gradient is not None:
                found[f"gradient{SEPARATOR}{name}{SEPARATOR}{number}"] = gradient
    return found


class _Taker:
    """Takes the gradients of a loss, as an engine does, but leaves the parameters alone."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = parameters
        self.gradients: tuple[Tensor | None, ...] = ()

    def backward(self, loss: Tensor, *, last: bool) -> None:
        del last
        self.gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}
