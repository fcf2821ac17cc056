"""What the training loop needs from an optimizer, and the engine of a single process."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ganinv.optimizers.base import STEP, step_count, step_if, takes_flag
from ganinv.precision import Precision, autocast

# Sums a tensor over all ranks, in its own precision; every rank gets the sum.
SumReduce = Callable[[Tensor], Tensor]


def no_reduction(total: Tensor) -> Tensor:
    """The reduction of a single process."""
    return total


class Fragment(NamedTuple):
    """A piece of one parameter's optimizer moment: flat elements from `start` on, as a view."""

    parameter: str
    moment: str
    start: int
    values: Tensor


class OnDevice(NamedTuple):
    """How an engine ends a step while the host does not know whether the step is void.

    `sum`: as a `SumReduce`, but on the tensor's own device, where the host does not wait for it.
    `finish`: as `Engine.finish`, but `apply` is a bool tensor on the network's device.
    """

    sum: SumReduce
    finish: Callable[[Tensor], None]


class Engine(Protocol):
    """Trains one network: owns the gradients, their mean over ranks and the optimizer.

    For each global batch, call `backward` for every micro-batch, then `finite`, then `finish`.
    """

    @property
    def network(self) -> nn.Module: ...

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of forward passes."""
        ...

    def set_options(self, options: Mapping[str, Any]) -> None:
        """Set the optimizer's options for later steps, by their names in its parameter groups."""
        ...

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Accumulate the gradients of a micro-batch's loss; `last`: the rank's last micro-batch."""
        ...

    def finite(self) -> Tensor:
        """Whether all gradients that this rank holds are finite: a bool tensor, on any device."""
        ...

    def finish(self, *, apply: bool) -> None:
        """Step the optimizer with the mean gradient, or discard the gradients if not `apply`."""
        ...

    @property
    def on_device(self) -> OnDevice | None:
        """What replaces `finish` where the host shall not wait; None if the engine needs it to."""
        ...

    def gradient_norm(self) -> float:
        """‖mean gradient‖₂ over all parameters at the last step that was not void."""
        ...

    def optimizer_fragments(self) -> tuple[list[Fragment], int]:
        """The optimizer moments that this rank saves, and the number of steps taken."""
        ...

    def load_optimizer(self, moments: Mapping[str, Mapping[str, Tensor]], steps: int) -> None:
        """Load complete moments (moment → parameter → tensor). Load the network's weights first."""
        ...


@dataclass
class LocalEngine:
    """Implements `Engine` in plain PyTorch: trains one network in this process.

    `micro_batches` is the number of `backward` calls that make up one global batch. `precision` is
    that of forward passes; `ganinv.precision.use_kernels_of` sets what it means on a GPU.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    micro_batches: int = 1
    precision: Precision = "fp32"
    _norm: Tensor = field(default_factory=lambda: torch.tensor(float("nan")))
    _applied_norm: Tensor = field(default_factory=lambda: torch.tensor(float("nan")))

    def autocast(self) -> AbstractContextManager[Any]:
        return autocast(self.precision, next(self.network.parameters()).device)

    def set_options(self, options: Mapping[str, Any]) -> None:
        for group in self.optimizer.param_groups:
            group.update(options)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        del last  # a single process sends no gradients
        (loss / self.micro_batches).backward(inputs=list(self.network.parameters()))

    def finite(self) -> Tensor:
        self._norm = self._total_norm()
        return torch.isfinite(self._norm)

    def finish(self, *, apply: bool) -> None:
        if apply:
            self._applied_norm = self._norm
            self.optimizer.step()
        self._discard_gradients()

    @property
    def on_device(self) -> OnDevice | None:
        return OnDevice(self._sum, self._finish_if) if takes_flag(self.optimizer) else None

    def gradient_norm(self) -> float:
        return float(self._applied_norm)

    def optimizer_fragments(self) -> tuple[list[Fragment], int]:
        count: Tensor | float = 0
        fragments = []
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if key == STEP:
                    count = value
                else:
                    fragments.append(Fragment(name, key, 0, value.view(-1)))
        return fragments, int(count)

    def load_optimizer(self, moments: Mapping[str, Mapping[str, Tensor]], steps: int) -> None:
        groups = {p: group for group in self.optimizer.param_groups for p in group["params"]}
        for name, parameter in self.network.named_parameters():
            if steps == 0:
                self.optimizer.state.pop(parameter, None)
                continue
            held = {
                moment: tensors[name].to(parameter.device, copy=True)
                for moment, tensors in moments.items()
            }
            self.optimizer.state[parameter] = {
                STEP: step_count(groups[parameter], parameter, steps),
                **held,
            }

    def _finish_if(self, flag: Tensor) -> None:
        before = self._applied_norm
        if before.device != self._norm.device:  # before the first step
            before = torch.full_like(self._norm, float("nan"))
        self._applied_norm = torch.where(flag, self._norm, before)
        step_if(self.optimizer, flag)
        self._discard_gradients()

    def _sum(self, total: Tensor) -> Tensor:
        return total

    def _discard_gradients(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)

    def _total_norm(self) -> Tensor:
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        return nn.utils.get_total_norm(gradients)
