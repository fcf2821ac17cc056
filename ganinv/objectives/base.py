"""What a method is: its networks, its latent code, and rounds that turn a micro-batch into losses.

A global batch of B images is cut into micro-batches (one per rank, or more with accumulation). A
round sees one micro-batch and returns losses whose **mean over the micro-batches** is the loss of
the paper over the global batch; engines average gradients in just this way. Objectives never call
backward, log or communicate.

Shapes: N samples of the micro-batch, C × H × W image, L latent elements.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganinv.codec import Codec
from ganinv.declarations import Highlight, Plot, Spectrum, Statistic
from ganinv.draws import Draws
from ganinv.latents.base import Latent
from ganinv.latents.labelled import Condition

State = Mapping[str, Tensor]  # variance traces and the like: float64, equal on all ranks
Moments = dict[str, Tensor]  # sums over samples that update the state, one vector per name
Nets = Mapping[str, Callable[..., Any]]  # every network of the method, in the engines' precision


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureNetwork:
    """A fixed network of features, trained elsewhere; `launch` knows it by name and loads it.

    Images B × 3 × H × W in [−1, 1] → features B × F, differentiable.
    """

    name: str
    file: str | None = None  # with its weights, where it is not in a package
    pixels: str = ""  # what pixels it was trained on, where its weights come in several kinds


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """What a method does with one of its networks."""

    title: str  # in words and metric names, for example "generator"
    trained: bool = True  # False: weights come from elsewhere and never change
    started: bool = False  # weights come from another run: training needs `start.run`
    features: FeatureNetwork | None = None  # instead of a network of the family; never trained
    averaged: bool = True  # keep an average of its weights, which is used after training
    exported: bool = True  # needed after training; D of a method whose encoder is elsewhere is not
    optimizer: str = "adam"  # a module of `ganinv.optimizers`
    # Of networks (`networks.base.Kinds`), for methods whose networks any family can build. Either
    # all roles of a method name one, or none; then the family's networks are asked for by role.
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """One part of a global batch.

    `images_seen`: the run's clock before this global batch, equal in all of its micro-batches.
    `real_NCHW`: real images in [−1, 1]. `slots_N`: their slots in the global batch, ascending.
    `noise`: random draws by name, a function of seed and image number alone. `label_NK`: labels of
    the real images, and of the generated ones with the same indices, as zeros and a one for each
    image; None where the method sees none.
    `micro_batches`: how many make up the global batch, over all ranks. `carry` hands values from
    one round to the next.
    """

    images_seen: int
    real_NCHW: Tensor
    slots_N: Tensor
    global_batch: int
    micro_batches: int
    noise: Mapping[str, Tensor]
    label_NK: Tensor | None = None
    carry: dict[str, Tensor] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """The global batch's number in the run, from 0."""
        return self.images_seen // self.global_batch

    def mean(self, values_N: Tensor, chosen_N: Tensor | None = None, share: float = 1.0) -> Tensor:
        """This micro-batch's contribution to a mean over the global batch, or a share of it.

        `chosen_N` picks the samples that count, a `share` of the global batch. The mean of the
        contributions over all micro-batches is the mean over all chosen samples, however unevenly
        the micro-batches hold them.
        """
        picked = values_N if chosen_N is None else torch.where(chosen_N, values_N, 0.0)
        return picked.sum() * (self.weight / share)

    @property
    def weight(self) -> float:
        """The weight of one sample in `mean`."""
        return self.micro_batches / self.global_batch


class Cut(NamedTuple):
    """Where a graph is cut: `output` of the network `maker`, and the `leaf` that later code saw."""

    maker: str
    output: Tensor
    leaf: Tensor


class Loss(NamedTuple):
    """The loss of one network, and how its gradient reaches that network.

    Without cuts, `value` depends on the network's parameters directly. With cuts, `value` is
    computed from their leaves alone, and the gradient passes from leaf to output, through the
    networks between, up to the cuts that the network itself made. `through` is in forward order.
    """

    value: Tensor
    through: tuple[Cut, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RoundOutput:
    """Losses by network; every network named here steps after the round."""

    losses: Mapping[str, Loss]
    statistics: Mapping[str, Tensor] = field(default_factory=dict)  # like losses: means
    moments: Moments = field(default_factory=dict)


Round = Callable[[Nets, MicroBatch, State], RoundOutput]


class Objective(ABC):
    """A GAN method. Rounds follow one another; after each, the networks with losses step.

    The defaults are those of a method without latent statistics.
    """

    config: Any
    latent: Latent
    # Charts of its statistics on the result page; statistics without one get a plain chart.
    plots: tuple[Plot, ...] = ()
    # What it reports with other options than the defaults, beside its `statistics`.
    optional_statistics: tuple[Statistic, ...] = ()
    # The networks that it has with other options than the defaults, beside its `roles`.
    optional_roles: Mapping[str, Role] = MappingProxyType({})

    @property
    def condition(self) -> Condition:
        """The labels that its networks see; none where its options have no `condition`."""
        found: Condition = getattr(self.config, "condition", Condition())
        return found

    @property
    @abstractmethod
    def roles(self) -> Mapping[str, Role]:
        """Its networks by name; the network family must build all of them."""

    @property
    @abstractmethod
    def statistics(self) -> tuple[Statistic, ...]:
        """The statistics that its rounds report, each in exactly one round of a step."""

    @property
    @abstractmethod
    def rounds(self) -> tuple[Round, ...]: ...

    @abstractmethod
    def codec(self, networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> Codec:
        """The trained model. `networks`: those whose role is exported; `tensors`: of `tensors`.

        Raises `KeyError` with the name of a network or tensor that is missing.
        """

    @property
    def noise(self) -> Mapping[str, Draws]:
        """The draws of a step by name: most of them from the latent."""
        return {"z": self.latent}

    @property
    def figures_declared(self) -> tuple[Statistic, ...]:
        """What `figures` gives."""
        return ()

    def new_state(self, global_batch: int) -> dict[str, Tensor]:
        """The state before the first step. Raises `ConfigError` for a batch it cannot use."""
        del global_batch
        return {}

    def check_micro_batch(self, images: int) -> None:
        """Raises `ConfigError` if it cannot use micro-batches of so few images."""
        del images

    def next_state(
        self, state: State, moments: Moments, *, images_seen: int, global_batch: int
    ) -> dict[str, Tensor]:
        """The state after a step that began at `images_seen`, from the global batch's moments."""
        del moments, images_seen, global_batch
        return dict(state)

    def step_kind(self, images_seen: int, global_batch: int) -> Hashable:
        """What the rounds of the step that begins at `images_seen` take from the clock.

        Steps of one kind are the same function of tensors, which is compiled or captured once
        (`ganinv.training.acceleration`). The default says that no two steps are of one kind.
        """
        del global_batch
        return images_seen

    def figures(self, state: State) -> dict[str, float]:
        """Figures of the state for `metrics.jsonl`, for example the latent entropy."""
        del state
        return {}

    def highlights(self, state: State) -> tuple[Highlight, ...]:
        """What the state says of the latent code, for people."""
        del state
        return ()

    def spectra(self, state: State) -> dict[str, Spectrum]:
        """The spread of each latent element, by name; the first is the most telling one."""
        del state
        return {}

    def tensors(self, state: State) -> dict[str, Tensor]:
        """What the latent needs beside codes, float32. Raises `KeyError` for a missing trace."""
        del state
        return {}


def networks_asked(objective: Objective) -> dict[str, Any]:
    """The arguments of a family's `build` that say which networks a method asks for."""
    kinds = {name: role.kind for name, role in objective.roles.items() if role.kind}
    classes = len(objective.condition.classes)
    return ({"kinds": kinds} if kinds else {}) | ({"classes": classes} if classes else {})


def cut(maker: str, output: Tensor) -> Cut:
    """Cut the graph at an output of network `maker`."""
    return Cut(maker, output, output.detach().requires_grad_())
