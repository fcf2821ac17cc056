"""Ranks exchange everything about a round at once: finiteness, moments and requests to stop."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv.training.step import StepResult, train_step
from tests.support.micro_batches import label, local_engines, objective_variants, random_batch
from tests.support.runs import build_networks, make_objective

BATCH = 8
variants = pytest.mark.parametrize("variant", objective_variants(), ids=label)


class Reduction:
    """Sums over this rank and ranks that send the same, but for their flags."""

    def __init__(self, asked_elsewhere: bool = False) -> None:
        self.asked_elsewhere, self.calls = asked_elsewhere, 0

    def __call__(self, total: Tensor) -> Tensor:
        self.calls += 1
        assert total.dtype == torch.float64
        assert total.device.type == "cpu"
        summed = total.clone()
        if self.asked_elsewhere:
            flags = (total == 0).nonzero().flatten()  # moments are not 0
            summed[flags[-1]] += 1  # the last flag: requests to stop
        return summed


def step(variant: dict[str, Any], reduce: Reduction, *, asked: bool, spoilt: bool) -> StepResult:
    objective = make_objective(**variant)
    engines = local_engines(objective, build_networks())
    batch = random_batch(objective, global_batch=BATCH, dtype=torch.float32)
    if spoilt:
        batch.real_NCHW[0, 0, 0, 0] = float("nan")
    state = objective.new_state(BATCH)
    return train_step(objective, engines, [batch], state, reduce, None, lambda: asked)


@variants
def test_a_round_has_one_reduction(variant: dict[str, Any]) -> None:
    reduce = Reduction()
    assert step(variant, reduce, asked=False, spoilt=False).applied
    assert reduce.calls == len(make_objective(**variant).rounds)


@pytest.mark.parametrize("spoilt", [False, True])
@pytest.mark.parametrize(("here", "elsewhere"), [(True, False), (False, True), (False, False)])
@variants
def test_a_request_to_stop_reaches_all_ranks(
    variant: dict[str, Any], here: bool, elsewhere: bool, spoilt: bool
) -> None:
    """In a void step, too."""
    result = step(variant, Reduction(elsewhere), asked=here, spoilt=spoilt)
    assert result.applied is not spoilt
    assert result.stop is (here or elsewhere)
