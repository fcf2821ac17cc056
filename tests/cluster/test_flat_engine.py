"""The flat engine: exact on three ranks in float64, and its reduction does not wait in `backward`.

`test_engine.py`, `test_engine_optimizers.py` and `checkpoints/test_contents_ranks.py` test it
together with DeepSpeed's engines.
"""

from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cluster.collectives import all_reduce_sum, new_gloo_group
from cluster.config import EngineConfig
from cluster.flat_engine import FlatEngine
from ganinv.errors import ConfigError
from ganinv.training.config import lay_out_batch
from ganinv.training.session import Session, new_session
from tests.support.gloo import run_ranks
from tests.support.runs import (
    TRAIN,
    build_networks,
    local_session,
    make_objective,
    snapshot,
    train,
)

CONFIG = replace(TRAIN, global_batch=12, micro_batch=2)
IMAGES = 36


def flat_session() -> Session:
    """In float64; ranks above 0 begin with weights of their own, until rank 0 gives them its."""
    layout = lay_out_batch(CONFIG, dist.get_world_size())
    networks = build_networks(CONFIG.seed + dist.get_rank())
    return new_session(
        make_objective("pvdgan"),
        {name: network.double() for name, network in networks.items()},
        lambda network, optimizer: FlatEngine(network, optimizer, layout.micro_batches),
        config=CONFIG,
        device=torch.device("cpu"),
    )


def addresses(session: Session) -> dict[str, int]:
    gradients = {
        f"{name}/{key}": parameter.grad
        for name, network in session.networks.items()
        for key, parameter in network.named_parameters()
    }
    return {name: g.data_ptr() for name, g in gradients.items() if g is not None}


def train_on_this_rank() -> tuple[dict[str, Tensor], Tensor]:
    session = flat_session()
    before = addresses(session)
    layout = lay_out_batch(CONFIG, dist.get_world_size())
    train(session, CONFIG, layout, IMAGES, rank=dist.get_rank(), reduce=all_reduce_sum)
    assert addresses(session) == before  # the gradients stay slices of one buffer
    weights = {key: v for key, v in snapshot(session).items() if "average" not in key}
    norms = torch.tensor([engine.gradient_norm() for engine in session.engines.values()])
    return weights, norms


def mean_gradient() -> Tensor:
    """Rank 0 ends `backward` before the others begin it."""
    network = nn.Linear(3, 1, bias=False)
    engine = FlatEngine(network, torch.optim.SGD(network.parameters()), dist.get_world_size())
    others = new_gloo_group(30)
    x = torch.full((1, 3), float(dist.get_rank()))
    if dist.get_rank() > 0:
        dist.barrier(others)
    engine.backward(network(x).sum(), last=True)
    if dist.get_rank() == 0:
        dist.barrier(others)
    assert engine.finite()
    assert network.weight.grad is not None
    return network.weight.grad.clone()


def both() -> tuple[tuple[dict[str, Tensor], Tensor], Tensor]:
    return train_on_this_rank(), mean_gradient()


@pytest.mark.integration
def test_three_ranks_equal_one_process_and_backward_does_not_wait() -> None:
    ranks = run_ranks(both, 3)
    reference = local_session(make_objective("pvdgan"), CONFIG, double=True)
    whole = replace(CONFIG, micro_batch=None)
    train(reference, whole, lay_out_batch(whole, 1), IMAGES)
    expected = snapshot(reference)
    for (weights, norms), gradient in ranks:
        for name, value in weights.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-11)
            assert torch.equal(value, ranks[0][0][0][name]), name
        for norm, engine in zip(norms, reference.engines.values(), strict=True):
            assert norm == pytest.approx(engine.gradient_norm(), rel=1e-6)
        assert torch.equal(gradient, torch.ones(1, 3))  # of 0, 1 and 2


def test_it_shards_nothing_and_has_no_option_of_deepspeed() -> None:
    with pytest.raises(ConfigError, match=r"zero_stage = 1: .*add engine\.zero_stage=0"):
        EngineConfig(name="flat")
    with pytest.raises(ConfigError, match="overlap_communication = True: an option of DeepSpeed"):
        EngineConfig(name="flat", zero_stage=0, overlap_communication=True)
