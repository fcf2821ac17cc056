"""What a method is to the training step: rounds that turn a part of a batch into losses.

A global batch of B images is cut into parts (one per worker, or more with accumulation). An
objective sees one part at a time and returns losses whose **mean over the parts** is the loss of
the paper over the global batch; the engines average gradients in just this way. It never calls
backward, logs or communicates.

Shapes: N samples of the part, C × H × W image, L latent elements.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ganinv.networks.base import Judgement

State = Mapping[str, Tensor]  # variance traces and the like: float64, equal on all ranks
Moments = dict[str, Tensor]  # per trace: Σ z′² over samples, and their number as last element


class Nets(NamedTuple):
    """The two networks as functions, in whatever precision the engines run them."""

    g: Callable[[Tensor], Tensor]
    d: Callable[[Tensor], Judgement]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a global batch.

    `images_seen`: the run's clock before this global batch, equal in all of its parts.
    `real_NCHW`: real images in [−1, 1]. `slots_N`: their places in the global batch, ascending.
    `noise`: standard normal draws by name, N × L, a function of seed and image number alone.
    `parts`: how many parts make up the global batch. `carry` hands values from round to round.
    """

    images_seen: int
    real_NCHW: Tensor
    slots_N: Tensor
    global_batch: int
    parts: int
    noise: Mapping[str, Tensor]
    carry: dict[str, Tensor] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """The global batch's number in the run, from 0."""
        return self.images_seen // self.global_batch

    def mean(self, values_N: Tensor, chosen_N: Tensor | None = None, share: float = 1.0) -> Tensor:
        """This part's contribution to a mean over the global batch, or over a share of it.

        `chosen_N` picks the samples that count, a `share` of the global batch. The mean of the
        contributions over all parts is the mean over all chosen samples, however unevenly the
        parts hold them.
        """
        picked = values_N if chosen_N is None else torch.where(chosen_N, values_N, 0.0)
        return picked.sum() * (self.parts / (self.global_batch * share))


class GeneratorLoss(NamedTuple):
    """L_g and where to cut the graph: the gradient reaches G through its images alone.

    `loss` was computed from `leaf`, which equals `image` but is cut from G's graph.
    """

    loss: Tensor
    image: Tensor
    leaf: Tensor


@dataclass(frozen=True, kw_only=True)
class RoundOutput:
    """Losses of one round: both networks' (simultaneous schedule) or one's (sequential)."""

    discriminator: Tensor | None = None
    generator: GeneratorLoss | None = None
    statistics: Mapping[str, Tensor] = field(default_factory=dict)  # like losses: mean over parts
    moments: Moments = field(default_factory=dict)


Round = Callable[[Nets, Part, State], RoundOutput]


class Objective(Protocol):
    """A GAN method. `rounds` follow one another; after each, the networks with losses step."""

    config: Any

    @property
    def noise_names(self) -> tuple[str, ...]:
        """The standard normal draws of a step, each as long as the code."""
        ...

    @property
    def statistic_names(self) -> tuple[str, ...]:
        """What its rounds report, all declared in `ganinv.training.statistics`."""
        ...

    @property
    def rounds(self) -> tuple[Round, ...]: ...

    def new_state(self, latent_size: int, global_batch: int) -> dict[str, Tensor]: ...

    def next_state(self, state: State, moments: Moments) -> dict[str, Tensor]:
        """The state after a step, from the moments of the whole global batch."""
        ...

    def scale(self, state: State) -> Tensor:
        """s_L, float64: what a code is multiplied with before it enters G."""
        ...

    def variances(self, state: State) -> dict[str, Tensor]:
        """v_L by name; `fake` is always there."""
        ...


def cut(image: Tensor) -> Tensor:
    """A leaf with the same values, at which gradients with respect to images are taken."""
    return image.detach().requires_grad_()
