"""Adam (Kingma and Ba, 2015, Algorithm 1), as PyTorch implements it."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ganinv.optimizers.base import Knobs


def settings(knobs: Knobs) -> dict[str, Any]:
    """Values of a parameter group."""
    return {"lr": knobs.learning_rate, "betas": (knobs.beta1, knobs.beta2), "eps": knobs.epsilon}


def build(parameters: Iterable[nn.Parameter], knobs: Knobs) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, **settings(knobs))
