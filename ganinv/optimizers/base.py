"""What engines know of optimizers: knobs, the count of steps, and steps that depend on a flag."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

STEP = "step"  # key of the number of steps in a parameter's state of PyTorch's optimizers


@dataclass(frozen=True, kw_only=True, slots=True)
class Knobs:
    """Values for one step. `beta1`, `beta2`: decays of the mean gradient and of its mean square."""

    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float


def step_count(group: Mapping[str, Any], parameter: Tensor, steps: int) -> Tensor:
    """`state[parameter][STEP]` as the optimizer of this parameter group makes it.

    Fused kernels and CUDA graphs read it on the parameter's device, all others on the CPU.
    """
    on_device = group.get("fused") or group.get("capturable")
    device = parameter.device if on_device else torch.device("cpu")
    return torch.tensor(float(steps), dtype=torch.float32, device=device)


def takes_flag(optimizer: torch.optim.Optimizer) -> bool:
    """Whether `step_if` works: PyTorch's fused kernels can leave out a step by themselves."""
    return bool(getattr(optimizer, "_step_supports_amp_scaling", False))


def step_if(optimizer: torch.optim.Optimizer, flag: Tensor) -> None:
    """Take a step if `flag`, a bool on the parameters' device, is true; the host need not know.

    A step left out changes nothing, its count included. `torch.amp.GradScaler` does it this way.
    """
    optimizer.found_inf = (~flag).float()  # type: ignore[attr-defined]  # read by fused optimizers
    optimizer.step()
    optimizer.found_inf = None  # type: ignore[attr-defined]
