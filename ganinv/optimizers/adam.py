"""Adam (Kingma and Ba, 2015, Algorithm 1), as PyTorch implements it."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ganinv.optimizers.base import Knobs

FUSED_DEVICES = ("cpu", "cuda")


def settings(knobs: Knobs) -> dict[str, Any]:
    """Values of a parameter group."""
    return {"lr": knobs.learning_rate, "betas": (knobs.beta1, knobs.beta2), "eps": knobs.epsilon}


def build(parameters: Iterable[nn.Parameter], knobs: Knobs) -> torch.optim.Optimizer:
    """Fused where PyTorch has a kernel that does the whole step in one pass over the memory."""
    held = list(parameters)
    fused = all(p.device.type in FUSED_DEVICES and p.is_floating_point() for p in held)
    return torch.optim.Adam(held, **settings(knobs), fused=fused)
