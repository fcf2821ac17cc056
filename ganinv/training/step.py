"""One training step: every round's losses, the engines' gradients, a reduction, the new state.

Shared-graph step: the output of a network is cut from its graph (`objectives.base.Cut`), later
code sees the leaf, and ∂L/∂leaf is taken there; this touches no parameter. The network's gradient
is then that of the scalar ⟨output, ∂L/∂leaf⟩. So no gradient of one network's loss ever reaches
another network's parameters, and one forward pass of each network serves all losses (DLSGAN
Algorithm 1). Where cuts form a chain, ∂L/∂leaf of a cut includes what flows back through the
networks behind it (VAE/GAN: the encoder's loss passes through the decoder without touching it).

`record_function` names the parts of a step for profilers (`ganinv.profiling`).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.profiler import record_function

from ganinv.objectives.base import (
    Loss,
    MicroBatch,
    Moments,
    Nets,
    Objective,
    Round,
    State,
)
from ganinv.seams.engine import Engine, SumReduce
from ganinv.training.verdict import Verdict

Statistics = dict[str, Tensor]
Engines = Mapping[str, Engine]  # of the trained networks, by name


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """The new state and the statistics of a step.

    `verdict`: the statistics, moments and gradients that were non-finite, on any rank.
    `statistics`: by name, the sum over this rank's micro-batches; divide by `micro_batches`.
    Meaningless if the step was void.
    `flag`: whether the step was applied, on the device; None if the host knew it and acted on it.
    """

    state: dict[str, Tensor]
    verdict: Verdict
    statistics: Statistics
    micro_batches: int
    flag: Tensor | None = None

    @property
    def applied(self) -> bool:
        """False if non-finite numbers made the step void on all ranks. Waits for the device."""
        return not self.nonfinite

    @property
    def nonfinite(self) -> tuple[str, ...]:
        return self.verdict.nonfinite


def train_step(
    objective: Objective,
    engines: Engines,
    batches: Sequence[MicroBatch],
    state: State,
    reduce: SumReduce,
    frozen: Mapping[str, nn.Module] | None = None,
    *,
    rounds: Sequence[Round] | None = None,
    on_device: bool = False,
) -> StepResult:
    """Train on one global batch; `batches` are this rank's share, `frozen` networks never change.
    `rounds`: those of the objective, if they run in another way (`ganinv.training.acceleration`).

    Each round has one reduction over the ranks beside that of the gradients: whether numbers are
    finite, and the moments.

    `on_device`: the host does not wait for the outcome. A flag on the device then decides what a
    void step leaves as it was, and the state lies there, too. All engines must offer `on_device`.

    If any rank meets a non-finite loss, gradient or moment, every rank skips the update of this
    round and of all later rounds, and the state stays unchanged. With one round (simultaneous),
    nothing has changed then. With two rounds (sequential), D steps in the first round; if the
    second round is void, that step of D remains.
    """
    nets = callables(engines, frozen or {})
    statistics: Statistics = {}
    moments: Moments = {}
    verdict = Verdict()
    apply: bool | Tensor = True

    def on_host(total: Tensor) -> Tensor:
        return reduce(total.cpu())

    sum_ = _sum_on_device(engines) if on_device else on_host
    for round_ in objective.rounds if rounds is None else rounds:
        names, nonfinite_here, stepping = _accumulate(
            round_, nets, engines, batches, state, statistics, moments
        )
        with record_function("reduction"):
            ranks_with, summed = _reduce(nonfinite_here, moments, sum_)
        verdict.add_round(names, ranks_with)
        # A void round makes all later rounds void.
        apply = (ranks_with == 0).all() & apply if on_device else not verdict.nonfinite
        for name in stepping:
            with record_function(f"{name}: optimizer"):
                _finish(engines[name], apply)
        if apply is False:
            return StepResult(
                state=dict(state), verdict=verdict, statistics={}, micro_batches=len(batches)
            )
    new_state = objective.next_state(
        state, summed, images_seen=batches[0].images_seen, global_batch=batches[0].global_batch
    )
    flag = apply if isinstance(apply, Tensor) else None
    if flag is not None:
        new_state = {name: torch.where(flag, new_state[name], state[name]) for name in new_state}
    return StepResult(
        state=new_state,
        verdict=verdict,
        statistics=statistics,
        micro_batches=len(batches),
        flag=flag,
    )


def callables(engines: Engines, frozen: Mapping[str, nn.Module]) -> Nets:
    """All networks as functions, in the engines' precision, with outputs in float32."""
    autocast = next(iter(engines.values())).autocast
    trained = {name: engine.network for name, engine in engines.items()}
    networks = trained | dict(frozen)
    return {name: _Net(name, network, autocast) for name, network in networks.items()}


class _Net:
    """A network as a function."""

    def __init__(
        self, name: str, network: nn.Module, autocast: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        self.name, self.network, self.autocast = name, network, autocast
        self.piecewise_linear: bool = getattr(network, "piecewise_linear", False)

    def __call__(self, *inputs: Any) -> Any:
        with record_function(f"{self.name}: forward"), self.autocast():
            return _without_bf16(self.network(*inputs))


def _without_bf16(output: Any) -> Any:
    """Outputs as float32, so that losses and statistics never use a lower precision."""
    if isinstance(output, Tensor):
        return output.float() if output.dtype == torch.bfloat16 else output
    values = [_without_bf16(value) for value in output]
    return output._make(values) if hasattr(output, "_make") else type(output)(values)


def _accumulate(
    round_: Round,
    nets: Nets,
    engines: Engines,
    batches: Sequence[MicroBatch],
    state: State,
    statistics: Statistics,
    moments: Moments,
) -> tuple[list[str], Tensor, list[str]]:
    """Accumulate the gradients of all micro-batches.

    Returns the names of all quantities, whether each is non-finite on this rank (1 or 0, float64),
    and the networks that step.
    """
    stepping: list[str] = []
    for index, batch in enumerate(batches):
        output = round_(nets, batch, state)
        losses = {name: loss for name, loss in output.losses.items() if name in engines}
        stepping = list(losses)
        backward(engines, losses, last=index == len(batches) - 1)
        for name, value in output.statistics.items():
            statistics[name] = statistics.get(name, 0.0) + value.detach()
        for name, moment in output.moments.items():
            moments[name] = moments[name] + moment if name in moments else moment
    # A loss may overflow, or a trace take a non-finite code, while all gradients stay finite.
    with record_function("finiteness"):
        finite = [torch.stack(list(statistics.values())).isfinite()] if statistics else []
        finite += [moment.isfinite().all()[None] for moment in moments.values()]
        finite += [engines[name].finite()[None] for name in stepping]
        nonfinite = ~torch.cat([flags.to(finite[0].device) for flags in finite])
    names = [*statistics, *(f"moment {name}" for name in moments)]
    names += [f"gradient of {name}" for name in stepping]
    return names, nonfinite.double(), stepping


def backward(engines: Engines, losses: Mapping[str, Loss], *, last: bool) -> None:
    """Accumulate every network's gradient, each from its own loss only."""
    direct = {name: loss.value for name, loss in losses.items() if not loss.through}
    through = {name: loss for name, loss in losses.items() if loss.through}
    # First, because a backward pass frees the graph that the losses share.
    scalars = {
        name: _scalar(name, loss, keep_graph=bool(direct) or number < len(through))
        for number, (name, loss) in enumerate(through.items(), start=1)
    }
    for name, scalar in (direct | scalars).items():
        with record_function(f"{name}: backward"):
            engines[name].backward(scalar, last=last)


def _scalar(name: str, loss: Loss, *, keep_graph: bool) -> Tensor:
    """A scalar on the graphs of the cuts that network `name` made, with the loss's gradient.

    Goes from the last cut to the first. ∂L/∂leaf is the direct gradient of the loss, plus the
    gradient that flows back from later leaves through outputs computed from this leaf.
    """
    toward: dict[int, Tensor] = {}
    for place in reversed(range(len(loss.through))):
        behind = [loss.through[later].output for later in toward]
        with record_function(f"{loss.through[place].maker}: gradient toward its output"):
            (toward[place],) = torch.autograd.grad(
                [loss.value, *behind],
                loss.through[place].leaf,
                [torch.ones_like(loss.value), *toward.values()],
                # Later outputs share their graphs with the scalars of other networks.
                retain_graph=keep_graph or len(loss.through) > 1,
            )
    own = [place for place, cut in enumerate(loss.through) if cut.maker == name]
    assert own, f"the loss of {name} passes through no output of {name}"
    scalar = torch.stack([(loss.through[p].output * toward[p]).sum() for p in own])
    return scalar.sum()


def _reduce(flags: Tensor, moments: Moments, sum_: SumReduce) -> tuple[Tensor, Moments]:
    """Sums of flags and moments over ranks, in one reduction, so that a step waits only once."""
    names = sorted(moments)
    together = [flags, *(moments[name].to(flags.device) for name in names)]
    total = sum_(torch.cat(together))  # where it crosses to the host, that is one transfer
    counts, *pieces = total.split([piece.numel() for piece in together])
    return counts, dict(zip(names, pieces, strict=True))


def _sum_on_device(engines: Engines) -> SumReduce:
    """The reduction of any engine: all of them have the same ranks."""
    ending = next(iter(engines.values())).on_device
    assert ending is not None
    return ending.sum


def _finish(engine: Engine, apply: bool | Tensor) -> None:
    if isinstance(apply, bool):
        engine.finish(apply=apply)
    else:
        assert engine.on_device is not None
        engine.on_device.finish(apply)
