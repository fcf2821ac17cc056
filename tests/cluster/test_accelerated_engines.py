"""Engines of a cluster take the gradients of rounds that run as functions of tensors."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from cluster.collectives import all_reduce_sum, rank, world_size
from ganinv.training.acceleration import AcceleratedRound
from ganinv.training.config import lay_out_batch
from tests.support.accelerated import like_a_graph
from tests.support.engines import Kind, distributed_session
from tests.support.gloo import run_ranks
from tests.support.runs import TRAIN, snapshot, train

RANKS, STEPS = 2, 3


def trained(kind: Kind, *, accelerated: bool) -> dict[str, Tensor]:
    """All weights and traces after a few steps."""
    session = distributed_session(("pvdgan", {}), kind)
    if accelerated:
        session.rounds = [
            AcceleratedRound(session.objective, round_, [like_a_graph], nullcontext)
            for round_ in session.objective.rounds
        ]
    layout = lay_out_batch(TRAIN, world_size())
    images = STEPS * TRAIN.global_batch
    train(session, TRAIN, layout, images, rank=rank(), reduce=all_reduce_sum)
    return snapshot(session)


def both(kinds: tuple[Kind, ...]) -> dict[Kind, tuple[Any, Any]]:
    return {k: (trained(k, accelerated=True), trained(k, accelerated=False)) for k in kinds}


@pytest.mark.integration
def test_trainings_end_with_the_same_bits() -> None:
    for found in run_ranks(both, RANKS, ("flat", 1)):
        for kind, (accelerated, plain) in found.items():
            for name, value in plain.items():
                assert torch.equal(accelerated[name], value), (kind, name)
