"""Descents of many points: each is a plain Adam of its own, stops by itself, and keeps its best."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.inversion.descent import Descended, DescentConfig, descend
from ganinv.inversion.loss import Value
from tests.support.families import normal

TARGET_NL = normal(5, 3, seed=1).double()
CURVATURE_NL = torch.linspace(0.1, 20, 15, dtype=torch.float64).reshape(5, 3)
START = torch.zeros(5, 3, dtype=torch.float64)


def bowls(numbers: Tensor) -> Callable[[Tensor, Tensor], Value]:
    """The loss of the points with these numbers: a bowl of its own for each."""

    def loss(point: Tensor, rows_B: Tensor) -> Value:
        at = numbers[rows_B]
        loss_B = (CURVATURE_NL[at] * (point - TARGET_NL[at]).square()).sum(1)
        return Value(loss_B, loss_B)

    return loss


def run(config: DescentConfig, numbers: Tensor | None = None) -> Descended:
    chosen = torch.arange(5) if numbers is None else numbers
    return descend(START[chosen], bowls(chosen), config)


def test_each_path_is_a_plain_adam_with_a_cosine() -> None:
    steps = 40
    found = run(DescentConfig(steps=steps, learning_rate=0.1, patience=1000))
    for i in range(5):
        point = START[i].clone().requires_grad_()
        optimizer = torch.optim.Adam([point], lr=0.1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        losses = []
        for _ in range(steps + 1):
            loss = (CURVATURE_NL[i] * (point - TARGET_NL[i]).square()).sum()
            losses.append(float(loss.detach()))
            optimizer.zero_grad()
            loss.backward()
            if len(losses) <= steps:
                optimizer.step()
                schedule.step()
        expected = torch.tensor(losses)
        torch.testing.assert_close(found.loss_NT[i], expected, rtol=1e-5, atol=1e-6)
        assert float(found.loss_N[i]) == pytest.approx(min(losses), rel=1e-5)
    assert found.evaluations_N.tolist() == [steps + 1] * 5


@pytest.mark.parametrize("numbers", [[3], [4, 0], [2, 1, 3, 0, 4]])
def test_other_points_change_no_bit_of_a_path(numbers: list[int]) -> None:
    config = DescentConfig(steps=60, learning_rate=0.2, patience=7, tolerance=0.05)
    whole, chosen = run(config), torch.tensor(numbers)
    assert len(set(whole.evaluations_N.tolist())) > 1  # they stop at different steps
    part = run(config, chosen)
    assert torch.equal(part.point, whole.point[chosen])
    assert torch.equal(part.loss_NT.nan_to_num(-1), whole.loss_NT[chosen].nan_to_num(-1))
    assert torch.equal(part.evaluations_N, whole.evaluations_N[chosen])


def test_a_point_without_progress_stops_and_the_bar_still_ends() -> None:
    config = DescentConfig(steps=50, learning_rate=0.01, patience=5)
    start, told = START.clone(), []
    start[2] = TARGET_NL[2]  # nothing to gain
    found = descend(start, bowls(torch.arange(5)), config, progress=told.append)
    assert found.evaluations_N.tolist() == [51, 51, 6, 51, 51]
    assert torch.equal(found.point[2], TARGET_NL[2])
    assert torch.equal(found.loss_NT[2].isnan(), torch.arange(51) > 5)
    assert sum(told) == 5 * 51


def test_the_best_point_is_kept_where_the_path_rises_or_breaks() -> None:
    def loss(point: Tensor, rows_B: Tensor) -> Value:
        """Best at 0.5, not a number beyond 1."""
        loss_B = (point - 0.5).square().sum(1)
        loss_B = torch.where(point[:, 0] > 1, math.nan, loss_B)
        return Value(loss_B, loss_B)

    config = DescentConfig(steps=30, learning_rate=0.24)
    found = descend(torch.zeros(1, 1), loss, config)
    seen = found.loss_NT[0, : int(found.evaluations_N[0])]
    assert float(found.loss_N[0]) == float(seen[~seen.isnan()].min())
    assert float((found.point[0, 0] - 0.5) ** 2) == pytest.approx(float(found.loss_N[0]), abs=1e-9)
    broken = descend(torch.zeros(1, 1), loss, DescentConfig(steps=30, learning_rate=2.0))
    assert broken.evaluations_N.tolist() == [2]  # the start, and the step beyond 1
    assert broken.point.tolist() == [[0.0]]


def test_a_point_stops_at_its_target() -> None:
    config = DescentConfig(steps=200, learning_rate=0.1, patience=1000)
    free = run(config)
    target_N = free.error_NT[:, 20].clone()
    found = descend(START, bowls(torch.arange(5)), config, target_error_N=target_N)
    first = [int((free.error_NT[i] <= target_N[i]).nonzero()[0]) for i in range(5)]
    assert found.evaluations_N.tolist() == [step + 1 for step in first]


@pytest.mark.parametrize("wrong", ["steps", "patience", "learning_rate", "tolerance"])
def test_impossible_options_are_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match=f"{wrong} = "):
        DescentConfig(**{wrong: -1})  # type: ignore[arg-type]
