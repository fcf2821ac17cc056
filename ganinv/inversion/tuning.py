"""Pivotal tuning: the generator's weights are tuned to one image at its point, the pivot.

Roich et al., "Pivotal Tuning for Latent-based Editing of Real Images" (2021), arXiv 2106.05744:
Adam with rate 3e-4, 350 steps, squared error and LPIPS, which the features of the inversion replace
here.
Its regularisation of codes nearby, which its code leaves off by default, is left out.

The result is a delta (`ganinv.saved.deltas`); the model stays as it is.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ganinv.errors import ConfigError
from ganinv.inversion.descent import Progress
from ganinv.inversion.loss import FeatureMap, ImageLoss
from ganinv.model import InvertibleGan
from ganinv.saved import format as names
from ganinv.saved.deltas import STORED, Delta
from ganinv.saved.identity import identity


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneConfig:
    """Options of pivotal tuning."""

    steps: int = 350
    learning_rate: float = 3e-4  # Adam's, of every weight

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps = {self.steps}: must be at least 1")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate = {self.learning_rate}: must be above 0")


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A delta, the image that it gives, and the losses before the first and after each step."""

    delta: Delta
    image_1CHW: Tensor  # clamped
    loss_T: Tensor  # T = steps + 1
    error_T: Tensor  # the squared error in it, mean over pixels
    seconds: float


class Tuning:
    """Tunes a model to one image after another; each starts from the model's own weights.

    `features` and their weight: as in `loss.py`, of the model before it is tuned.
    """

    def __init__(
        self,
        model: InvertibleGan,
        config: TuneConfig,
        features: FeatureMap | None = None,
        features_weight: float = 0.0,
    ) -> None:
        self.model, self.config = model, config
        self._features, self._weight = features, features_weight
        self._identity = identity(model)

    def __call__(
        self, real_1CHW: Tensor, point: Tensor, space: str, progress: Progress | None = None
    ) -> Tuned:
        """Tune to one image in [−1, 1] whatever makes the image of `point`, 1 × … of `space`."""
        began = time.perf_counter()
        model = self.model
        pivot = point.detach().to(model.device, model.dtype)
        real_1CHW = real_1CHW.to(model.device, model.dtype)
        image = ImageLoss.to(real_1CHW, self._features, self._weight)
        networks = {name: copy.deepcopy(n) for name, n in model.codec.networks.items()}
        decode = replace(model.codec, networks=networks).spaces[space].decode
        weights = _used(networks, lambda: decode(pivot))
        optimizer = torch.optim.Adam(weights.values(), lr=self.config.learning_rate)
        row, best, kept = torch.zeros(1, dtype=torch.long, device=pivot.device), math.inf, {}
        losses, errors = [], []
        for step in range(self.config.steps + 1):
            value = image(decode(pivot), row)
            losses.append(float(value.loss_B.detach()))
            errors.append(float(value.error_B.detach()))
            if losses[-1] < best:
                best = losses[-1]
                kept = {name: weight.detach().clone() for name, weight in weights.items()}
            if progress is not None:
                progress(1)
            if step == self.config.steps or not math.isfinite(losses[-1]):
                break
            optimizer.zero_grad(set_to_none=True)
            value.loss_B.sum().backward(inputs=list(weights.values()))
            optimizer.step()
        delta = Delta(
            model=self._identity, space=space, point=pivot.cpu(), changes=self._changes(kept)
        )
        return Tuned(
            delta=delta,
            image_1CHW=delta.image(model),
            loss_T=torch.tensor(losses),
            error_T=torch.tensor(errors),
            seconds=time.perf_counter() - began,
        )

    def _changes(self, tuned: Mapping[str, Tensor]) -> dict[str, Tensor]:
        own = {
            f"{names.exported(network)}{name}": parameter
            for network, module in self.model.codec.networks.items()
            for name, parameter in module.named_parameters()
        }
        return {name: (weight - own[name]).to(STORED).cpu() for name, weight in tuned.items()}


def _used(
    networks: Mapping[str, nn.Module], forward: Callable[[], Tensor]
) -> dict[str, nn.Parameter]:
    """The weights that take part in `forward`, by NETWORK/NAME; only these need gradients after."""
    found = {
        f"{names.exported(network)}{name}": parameter
        for network, module in networks.items()
        for name, parameter in module.named_parameters()
    }
    for parameter in found.values():
        parameter.requires_grad_(True)
    forward().sum().backward(inputs=list(found.values()))
    used = {name: parameter for name, parameter in found.items() if parameter.grad is not None}
    for parameter in found.values():
        parameter.grad = None
        parameter.requires_grad_(False)
    for parameter in used.values():
        parameter.requires_grad_(True)
    return used
