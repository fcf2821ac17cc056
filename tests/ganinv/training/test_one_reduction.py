"""Ranks exchange what they must know of each other's round at once: finiteness and moments."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv.training.step import train_step
from tests.support.micro_batches import label, local_engines, objective_variants, random_batch
from tests.support.runs import build_networks, make_objective

BATCH = 8


@pytest.mark.parametrize("spoilt", [False, True])
@pytest.mark.parametrize("variant", objective_variants(), ids=label)
def test_a_round_has_one_reduction(variant: dict[str, Any], spoilt: bool) -> None:
    calls = 0

    def reduce(total: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        assert (total.dtype, total.device.type) == (torch.float64, "cpu")
        return total

    objective = make_objective(**variant)
    networks = build_networks(objective=objective)
    engines = local_engines(objective, networks)
    frozen = {name: networks[name] for name in objective.roles if name not in engines}
    batch = random_batch(objective, global_batch=BATCH, dtype=torch.float32)
    if spoilt:
        batch.real_NCHW[0] = float("nan")  # wherever augmentation moves it
    result = train_step(objective, engines, [batch], objective.new_state(BATCH), reduce, frozen)
    assert result.applied is not spoilt
    assert calls == (1 if spoilt else len(objective.rounds))
