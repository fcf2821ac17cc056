"""Descent of many points at once, each for itself: Adam, cosine to 0, early stopping, best kept.

No point's path depends on the others: losses are summed, never averaged, Adam works element by
element, and each point stops by itself. Shapes: N points, B of them that still move, T evaluations.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.inversion.loss import Value

LossOfPoints = Callable[[Tensor, Tensor], Value]  # points B × …, their numbers B → losses
Progress = Callable[[int], None]  # told how many further evaluations are done or saved


@dataclass(frozen=True, kw_only=True, slots=True)
class DescentConfig:
    """Options of a descent."""

    steps: int = 1000
    learning_rate: float = 0.01  # Adam's, of every element; falls to 0 as a cosine
    # A point stops once this many steps have not lowered its best loss by `tolerance`, a ratio.
    patience: int = 100
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        for key in ("steps", "patience"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be at least 1")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate = {self.learning_rate}: must be above 0")
        if not 0 <= self.tolerance < 1:
            raise ConfigError(f"tolerance = {self.tolerance}: must lie in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class Descended:
    """The best point of each path, and the path's losses, NaN after it stopped."""

    point: Tensor  # N × …
    loss_N: Tensor
    loss_NT: Tensor
    error_NT: Tensor  # squared error, mean over pixels
    evaluations_N: Tensor  # how often each image went through the generator


def descend(
    start: Tensor,
    loss: LossOfPoints,
    config: DescentConfig,
    *,
    target_error_N: Tensor | None = None,
    progress: Progress | None = None,
) -> Descended:
    """Descend from `start`, N × …. A point also stops at its `target_error_N`, if there is one.

    The loss is evaluated at the start and after each step, `steps` + 1 times. A point whose loss is
    not finite stops, and keeps the best point that it has passed.
    """
    points = [start[i : i + 1].detach().clone().requires_grad_() for i in range(len(start))]
    optimizer = torch.optim.Adam(points, lr=config.learning_rate)
    path = _Path(start, config, target_error_N)
    for step in range(config.steps + 1):
        rows_B = path.moving_B
        last = step == config.steps
        with torch.set_grad_enabled(not last):
            moving = [points[i] for i in rows_B.tolist()]
            value = loss(torch.cat(moving), rows_B)
        path.note(step, torch.cat(moving).detach(), value)
        if progress is not None:
            progress(len(rows_B) + (len(rows_B) - len(path.moving_B)) * (config.steps - step))
        if last or not len(path.moving_B):
            break
        optimizer.zero_grad(set_to_none=True)
        value.loss_B.sum().backward(inputs=moving)
        for i in set(rows_B.tolist()) - set(path.moving_B.tolist()):
            points[i].grad = None  # Adam leaves points without a gradient where they are
        for group in optimizer.param_groups:
            share = (1 + math.cos(math.pi * step / config.steps)) / 2
            group["lr"] = config.learning_rate * share
        optimizer.step()
    return path.result()


class _Path:
    """What the points have passed so far, and which of them still move."""

    def __init__(self, start: Tensor, config: DescentConfig, target_error_N: Tensor | None) -> None:
        count, place = len(start), start.device
        self.moving_B = torch.arange(count, device=place)
        self._config = config
        self._target = target_error_N
        self._best = start.detach().clone()
        self._loss_N = torch.full((count,), math.inf, dtype=torch.float32, device=place)
        self._mark_N = self._loss_N.clone()  # the best loss when it last fell by the tolerance
        self._marked_N = torch.zeros(count, dtype=torch.long, device=place)  # at this step
        self._evaluations_N = torch.zeros_like(self._marked_N)
        shape = (count, config.steps + 1)
        self._loss_NT = torch.full(shape, math.nan, dtype=torch.float32, device=place)
        self._error_NT = self._loss_NT.clone()

    def note(self, step: int, point: Tensor, value: Value) -> None:
        """Note losses of the moving points, and stop those that are done."""
        rows, loss_B = self.moving_B, value.loss_B.detach().float()
        error_B = value.error_B.detach().float()
        self._loss_NT[rows, step], self._error_NT[rows, step] = loss_B, error_B
        self._evaluations_N[rows] += 1
        better_B = loss_B < self._loss_N[rows]  # False for NaN
        self._best[rows[better_B]] = point[better_B]
        self._loss_N[rows[better_B]] = loss_B[better_B]
        fell_B = loss_B < self._mark_N[rows] * (1 - self._config.tolerance)
        self._mark_N[rows[fell_B]] = loss_B[fell_B]
        self._marked_N[rows[fell_B]] = step
        done_B = (step - self._marked_N[rows] >= self._config.patience) | ~loss_B.isfinite()
        if self._target is not None:
            done_B |= error_B <= self._target.to(error_B)[rows]
        self.moving_B = rows[~done_B]

    def result(self) -> Descended:
        return Descended(
            point=self._best,
            loss_N=self._loss_N.cpu(),
            loss_NT=self._loss_NT.cpu(),
            error_NT=self._error_NT.cpu(),
            evaluations_N=self._evaluations_N.cpu(),
        )
