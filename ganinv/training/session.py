"""The state of training, and how one global batch changes it.

Shapes: N samples of a micro-batch, B of this rank's share, C × H × W image.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.autograd.profiler import record_function

from ganinv import optimizers
from ganinv.errors import ConfigError
from ganinv.model import InvertibleGan
from ganinv.networks.recomputing import recompute_finest
from ganinv.objectives.base import MicroBatch, Objective, Round
from ganinv.pictures import to_signed
from ganinv.schedules import Schedule
from ganinv.seams.batches import Batch, Position
from ganinv.seams.engine import Engine, SumReduce
from ganinv.training.averages import WeightAverage
from ganinv.training.config import BatchLayout, TrainConfig, schedules_in
from ganinv.training.drawn import Drawn, drawing
from ganinv.training.labels import labels_in
from ganinv.training.statistics import Means
from ganinv.training.step import StepResult, train_step
from ganinv.training.verdict import Ended, Verdict

MakeEngine = Callable[[nn.Module, torch.optim.Optimizer], Engine]


@dataclass(kw_only=True)
class Session:
    """All state of a run: networks, optimizers, averages, traces and the position in the data.

    `images_seen` is the only clock. `position` is the position after the last **trained** batch.
    `engines` train the trained networks; `frozen` networks keep their initial weights. `schedules`
    holds the options that change with `images_seen`, by key.

    `on_device`: training goes on before the host knows whether a step was void, and `state` lies on
    the device. `settle` tells the host.
    """

    objective: Objective
    engines: dict[str, Engine]
    frozen: dict[str, nn.Module]
    averages: dict[str, WeightAverage]
    state: dict[str, torch.Tensor]
    means: Means
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    images_seen: int = 0
    position: Position = field(default_factory=lambda: Position(epoch=0, images=0))
    started_from: Mapping[str, Any] | None = None  # `saved.starting.Origin`, for the manifests
    # Void steps in a row, and what was non-finite in the last step: up to the last settled one.
    nonfinite_in_a_row: int = 0
    nonfinite: tuple[str, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    on_device: bool = False
    unsettled: deque[tuple[int, Verdict]] = field(default_factory=deque)  # images seen after it
    rounds: Sequence[Round] | None = None  # the objective's, if they are compiled or captured

    @property
    def networks(self) -> dict[str, nn.Module]:
        """All networks at their current weights, by name."""
        return {name: engine.network for name, engine in self.engines.items()} | self.frozen

    def settle(self, keep: int = 0) -> list[Ended]:
        """Wait for all steps but the last `keep`; the steps of which that was not known yet."""
        settled = []
        while len(self.unsettled) > keep:
            images_seen, verdict = self.unsettled.popleft()
            self.nonfinite = verdict.nonfinite
            self.nonfinite_in_a_row = self.nonfinite_in_a_row + 1 if self.nonfinite else 0
            settled.append(Ended(images_seen, self.nonfinite, self.nonfinite_in_a_row))
        return settled

    def state_on_host(self) -> dict[str, torch.Tensor]:
        """`state` in the host's memory."""
        return {name: value.cpu() for name, value in self.state.items()}

    def model(self) -> InvertibleGan:
        """The current model, with averaged weights where averages are kept."""
        averaged = {name: average.network for name, average in self.averages.items()}
        tensors = self.objective.tensors(self.state)
        return InvertibleGan(
            codec=self.objective.codec(
                self.networks | averaged,
                {name: tensor.to(self.device) for name, tensor in tensors.items()},
            )
        )


def new_session(
    objective: Objective,
    networks: Mapping[str, nn.Module],
    engine: MakeEngine,
    *,
    config: TrainConfig,
    device: torch.device,
    frozen: frozenset[str] = frozenset(),
) -> Session:
    """A session before its first step. `networks`: all roles' networks at their initial weights.

    `frozen`: networks to keep at these weights, besides those that the method never trains.
    """
    check_networks(objective, networks)
    held = {name: networks[name].to(device) for name in objective.roles}
    still = frozen | {name for name, role in objective.roles.items() if not role.trained}
    if still >= held.keys():
        raise ConfigError(
            f"start.frozen = {sorted(frozen)}: no network is left to train; remove a name"
        )
    trained = {name: network for name, network in held.items() if name not in still}
    averages = {
        name: WeightAverage(network)
        for name, network in trained.items()
        if objective.roles[name].averaged
    }
    for network in trained.values():
        recompute_finest(network, config.recompute_blocks)
    engines = {
        name: engine(network, new_optimizer(objective, name, network, config))
        for name, network in trained.items()
    }
    on_device = device.type == "cuda" and all(e.on_device is not None for e in engines.values())
    state_device = device if on_device else torch.device("cpu")
    state = objective.new_state(config.global_batch)
    return Session(
        objective=objective,
        engines=engines,
        frozen={name: held[name].requires_grad_(False).eval() for name in held if name in still},
        averages=averages,
        state={name: value.to(state_device) for name, value in state.items()},
        means=Means((row.name for row in objective.statistics), device),
        schedules={
            **schedules_in(config, "train"),
            **schedules_in(objective.config, "objective"),
        },
        device=device,
        on_device=on_device,
    )


def check_networks(objective: Objective, networks: Mapping[str, nn.Module]) -> None:
    """Raises `ConfigError` if the network family lacks a network of the method."""
    if missing := sorted(objective.roles.keys() - networks.keys()):
        raise ConfigError(
            f"network.name: its networks are {', '.join(sorted(networks))}, but "
            f"{objective.config.name} also needs {', '.join(missing)}; choose another family"
        )


def new_optimizer(
    objective: Objective, name: str, network: nn.Module, config: TrainConfig
) -> torch.optim.Optimizer:
    """The optimizer of a role, with its options at the start of training."""
    module = optimizers.find(objective.roles[name].optimizer)
    optimizer: torch.optim.Optimizer = module.build(network.parameters(), config.knobs(name, 0))
    return optimizer


def train_batch(
    session: Session,
    batch: Batch,
    config: TrainConfig,
    layout: BatchLayout,
    reduce: SumReduce,
    drawn: Drawn | None = None,
) -> StepResult:
    """Train on this rank's share of a global batch. `drawn`: its draws, if they are made already.

    The step counts as unsettled until `session.settle`; at most two steps are.
    """
    session.settle(keep=1)
    objective, seen = session.objective, session.images_seen
    for name, engine in session.engines.items():
        module = optimizers.find(objective.roles[name].optimizer)
        engine.set_options(module.settings(config.knobs(name, seen)))
    with record_function("batch"):
        batches = cut_into_micro_batches(session, batch, config, layout, drawn)
    result = train_step(
        objective, session.engines, batches, session.state, reduce, session.frozen,
        rounds=session.rounds, on_device=session.on_device,
    )  # fmt: skip
    if result.flag is not None or result.applied:
        session.state = result.state
        decay = config.average_decay(seen)
        with record_function("averages"):
            for name, average in session.averages.items():
                average.update(session.engines[name].network, decay, result.flag)
        with record_function("statistics"):
            session.means.add(
                result.statistics, result.micro_batches, layout.micro_batches, result.flag
            )
    session.images_seen += config.global_batch
    session.position = batch.after
    session.unsettled.append((session.images_seen, result.verdict))
    return result


def cut_into_micro_batches(
    session: Session,
    batch: Batch,
    config: TrainConfig,
    layout: BatchLayout,
    drawn: Drawn | None = None,
) -> list[MicroBatch]:
    """Micro-batches of real images in [−1, 1], mirrored at random, with all draws of the step."""
    real_BCHW = to_signed(batch.images_BCHW.to(session.device, non_blocking=True))
    if drawn is None:
        draw = drawing(session.objective.noise, config, session.device)
        drawn = draw(session.images_seen, batch.slots)
    slots_B, mirrored_B, noise = drawn.on(session.device)
    if mirrored_B is not None:
        real_BCHW = torch.where(mirrored_B[:, None, None, None], real_BCHW.flip(3), real_BCHW)
    label_BK = labels_in(session.objective.condition, batch)
    if label_BK is not None:
        label_BK = label_BK.to(session.device, non_blocking=True)
    size = len(batch.slots) // layout.per_rank
    return [
        MicroBatch(
            images_seen=session.images_seen,
            real_NCHW=real_BCHW[start : start + size],
            slots_N=slots_B[start : start + size],
            global_batch=config.global_batch,
            micro_batches=layout.micro_batches,
            noise={name: draw[start : start + size] for name, draw in noise.items()},
            label_NK=None if label_BK is None else label_BK[start : start + size],
        )
        for start in range(0, len(batch.slots), size)
    ]
