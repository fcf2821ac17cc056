"""All engines, DeepSpeed's at every ZeRO stage, against plain PyTorch in one process."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from ganinv.seams.batches import Position
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.session import Session
from tests.support.engines import KINDS, Kind, distributed_session
from tests.support.gloo import run_ranks
from tests.support.runs import TRAIN, snapshot, train, train_locally

pytestmark = pytest.mark.integration
IMAGES = 64
OBJECTIVES: list[tuple[str, dict[str, Any]]] = [
    # A penalty so large that gradient norms are far above 1, where DeepSpeed clips by default.
    ("dlsgan", {"lambda_r1": 2000.0, "r1_every": 3}),
    ("pvdgan", {}),
    ("pvdgan", {"schedule": "sequential", "share_trace": True, "vae_half": "first"}),
]
CLOSE = {"rtol": 2e-5, "atol": 2e-6}


def norms_of(session: Session) -> Tensor:
    return torch.tensor([engine.gradient_norm() for engine in session.engines.values()])


def train_distributed(config: TrainConfig) -> dict[str, dict[str, Tensor]]:
    from cluster.collectives import all_reduce_sum

    results = {}
    for objective in OBJECTIVES:
        for kind in KINDS:
            session = distributed_session(objective, kind, config)
            layout = lay_out_batch(config, dist.get_world_size())
            traces = []
            for images in range(config.global_batch, IMAGES + 1, config.global_batch):
                train(session, config, layout, images, rank=dist.get_rank(), reduce=all_reduce_sum)
                traces += [trace.clone() for trace in session.state.values()]
            found = {"norms": norms_of(session), "traces of every step": torch.stack(traces)}
            results[f"{objective}/{kind}"] = snapshot(session) | found
    return results


@pytest.mark.parametrize(("world", "micro_batch"), [(1, 16), (2, 8), (2, 4), (4, 4)])
def test_any_engine_and_layout_equals_one_process(world: int, micro_batch: int) -> None:
    config = replace(
        TRAIN, micro_batch=micro_batch, learning_rate_decay=0.5, learning_rate_decay_every=32
    )
    ranks = run_ranks(train_distributed, world, config)
    for objective in OBJECTIVES:
        name, options = objective
        reference = train_locally(name, IMAGES, replace(config, micro_batch=None), **options)
        expected = snapshot(reference)
        for kind in KINDS:
            results = [rank[f"{objective}/{kind}"] for rank in ranks]
            for key, value in expected.items():
                torch.testing.assert_close(results[0][key], value, **CLOSE)
            torch.testing.assert_close(results[0]["norms"], norms_of(reference), rtol=1e-4, atol=0)
            for other in results[1:]:  # equal on all ranks, bit for bit
                for key, value in results[0].items():
                    assert torch.equal(other[key], value), key


Spoilt = tuple[list[bool], bool, dict[str, Tensor], dict[str, Tensor]]


def spoil_one_step_of_each() -> dict[Kind, Spoilt]:
    return {kind: spoil_one_step(kind) for kind in KINDS}


def spoil_one_step(kind: Kind) -> Spoilt:
    """One rank meets a NaN in the second step, at first only in D's gradients."""
    from cluster.collectives import all_reduce_sum
    from ganinv.training.session import train_batch
    from tests.support.runs import RandomImages

    session = distributed_session(("pvdgan", {}), kind)
    layout = lay_out_batch(TRAIN, dist.get_world_size())
    source = RandomImages(TRAIN.global_batch, dist.get_rank(), layout.world)
    batches = source.batches(Position(epoch=0, images=0))
    applied = [train_batch(session, next(batches), TRAIN, layout, all_reduce_sum).applied]
    before = snapshot(session)
    if dist.get_rank() == 1:
        parameter = session.engines["d"].network.adversarial.bias
        handle = parameter.register_hook(lambda gradient: gradient * float("nan"))
    applied.append(train_batch(session, next(batches), TRAIN, layout, all_reduce_sum).applied)
    after = snapshot(session)
    if dist.get_rank() == 1:
        handle.remove()
    applied.append(train_batch(session, next(batches), TRAIN, layout, all_reduce_sum).applied)
    moved = not torch.equal(
        after["g/weights/to_image.weight"], snapshot(session)["g/weights/to_image.weight"]
    )
    return applied, moved, before, after


def test_a_nan_on_one_rank_voids_the_step_of_both_networks_on_all() -> None:
    for rank in run_ranks(spoil_one_step_of_each, 2):
        for kind, (applied, moved, before, after) in rank.items():
            assert applied == [True, False, True], kind
            assert moved, kind
            for key, value in before.items():
                assert torch.equal(after[key], value), (kind, key)
