"""One training step: every round's losses, both engines' gradients, one reduction, the new state.

Shared-graph step: G's images are cut from its graph, ∂L_g/∂image is taken at the cut (this touches
no parameter), D goes backward from L_d, and G from the scalar ⟨image, ∂L_g/∂image⟩, whose gradient
with respect to G's parameters is L_g's. So no gradient of one loss reaches the other network, and
one forward pass of each network serves both losses (DLSGAN Algorithm 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.networks.base import Judgement
from ganinv.objectives.base import Moments, Nets, Objective, Part, Round, RoundOutput, State
from ganinv.seams.engine import Engine, SumReduce

Statistics = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Engines:
    """The two networks under training."""

    g: Engine
    d: Engine

    def nets(self) -> Nets:
        return Nets(g=self._generate, d=self._judge)

    def _generate(self, scaled_BL: Tensor) -> Tensor:
        with self.g.autocast():
            image_BCHW: Tensor = self.g.network(scaled_BL)
        return image_BCHW.float() if image_BCHW.dtype == torch.bfloat16 else image_BCHW

    def _judge(self, image_BCHW: Tensor) -> Judgement:
        with self.d.autocast():
            outputs = self.d.network(image_BCHW)
        return Judgement(*(o.float() if o.dtype == torch.bfloat16 else o for o in outputs))


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """`applied`: False where non-finite numbers made the step void on all ranks alike.

    `nonfinite`: what these were, on any rank: statistics, moments, gradients.
    `statistics`: per name the sum over this rank's parts; divide by `parts` for their mean.
    """

    state: dict[str, Tensor]
    applied: bool
    statistics: Statistics
    parts: int
    nonfinite: tuple[str, ...] = ()


def train_step(
    objective: Objective, engines: Engines, parts: Sequence[Part], state: State, reduce: SumReduce
) -> StepResult:
    """Train both networks on one global batch, of which `parts` are this rank's share.

    If any rank meets a non-finite loss, gradient or moment, the round's update and all later ones
    are left out on every rank, and the state stays as it was. With one round (simultaneous) nothing
    has changed then. With two (sequential) the second is computed through the discriminator that
    has stepped in the first: if the second is void, that step of D stays.
    """
    statistics: Statistics = {}
    moments: Moments = {}
    for round_ in objective.rounds:
        names, finite, stepping = _accumulate(round_, engines, parts, state, statistics, moments)
        spoilt = reduce(1.0 - finite).tolist()
        nonfinite = tuple(name for name, ranks in zip(names, spoilt, strict=True) if ranks)
        for engine in stepping:
            engine.finish(apply=not nonfinite)
        if nonfinite:
            return StepResult(
                state=dict(state), applied=False, statistics={}, parts=len(parts),
                nonfinite=nonfinite,
            )  # fmt: skip
    reduced = _reduce_moments(moments, reduce)
    return StepResult(
        state=objective.next_state(state, reduced),
        applied=True,
        statistics=statistics,
        parts=len(parts),
    )


def _accumulate(
    round_: Round,
    engines: Engines,
    parts: Sequence[Part],
    state: State,
    statistics: Statistics,
    moments: Moments,
) -> tuple[list[str], Tensor, list[Engine]]:
    """Gradients of all parts; returns what is finite on this rank (1 or 0 by name), who steps."""
    stepping: list[Engine] = []
    for index, part in enumerate(parts):
        output = round_(engines.nets(), part, state)
        stepping = _backward(engines, output, last=index == len(parts) - 1)
        for name, value in output.statistics.items():
            statistics[name] = statistics.get(name, 0.0) + value.detach()
        for name, moment in output.moments.items():
            moments[name] = moments[name] + moment if name in moments else moment
    # A loss may overflow, and a code enter a trace, without any gradient that shows it.
    reported = {**statistics, **{f"moment {name}": moment for name, moment in moments.items()}}
    flags = torch.stack([value.isfinite().all() for value in reported.values()]).double().cpu()
    gradients = torch.stack([engine.finite() for engine in stepping])
    letters = ["d" if engine is engines.d else "g" for engine in stepping]
    names = [*reported, *(f"gradient of {letter}" for letter in letters)]
    return names, torch.cat([flags, gradients]), stepping


def _backward(engines: Engines, output: RoundOutput, *, last: bool) -> list[Engine]:
    generator = output.generator
    stepping: list[Engine] = []
    if generator is not None:
        # Before D's backward pass frees the graph that both losses share.
        (toward_image,) = torch.autograd.grad(
            generator.loss, generator.leaf, retain_graph=output.discriminator is not None
        )
    if output.discriminator is not None:
        engines.d.backward(output.discriminator, last=last)
        stepping.append(engines.d)
    if generator is not None:
        engines.g.backward((generator.image * toward_image).sum(), last=last)
        stepping.append(engines.g)
    return stepping


def _reduce_moments(moments: Moments, reduce: SumReduce) -> Moments:
    """One reduction for all traces together, so that a step waits for the network once."""
    names = sorted(moments)
    total = reduce(torch.cat([moments[name] for name in names]).cpu())
    pieces = total.split([moments[name].numel() for name in names])
    return dict(zip(names, pieces, strict=True))
