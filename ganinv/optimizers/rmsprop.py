"""RMSProp (Hinton, lecture 6e, 2012) as VAE/GAN uses it (Larsen et al., 2016): no momentum."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ganinv.optimizers.base import Knobs


def settings(knobs: Knobs) -> dict[str, Any]:
    """Values of a parameter group; RMSProp keeps no mean gradient, so `beta1` is ignored."""
    return {"lr": knobs.learning_rate, "alpha": knobs.beta2, "eps": knobs.epsilon}


def build(parameters: Iterable[nn.Parameter], knobs: Knobs) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(parameters, **settings(knobs))
