"""The flat engine: exact on three ranks in float64, and its reduction does not wait in `backward`.

`test_engine.py`, `test_engine_optimizers.py` and `checkpoints/test_contents_ranks.py` test it
together with DeepSpeed's engines.
"""

from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cluster.collectives import all_reduce_sum, new_gloo_group, rank, world_size
from cluster.config import EngineConfig
from cluster.flat_engine import FlatEngine
from ganinv.errors import ConfigError
from ganinv.seams.batches import Position
from ganinv.seams.engine import LocalEngine
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.session import Session, cut_into_micro_batches, new_session
from ganinv.training.step import train_step
from tests.support.gloo import run_ranks
from tests.support.micro_batches import in_double
from tests.support.runs import TRAIN, RandomImages, build_networks, make_objective

CONFIG = replace(TRAIN, global_batch=12, micro_batch=2)
STEPS = 3


def new_session_in_double(kind: type[LocalEngine], config: TrainConfig) -> Session:
    """Ranks above 0 begin with weights of their own, until the engine gives them rank 0's."""
    micro_batches = lay_out_batch(config, world_size()).micro_batches
    return new_session(
        make_objective("pvdgan"),
        {name: network.double() for name, network in build_networks(seed=rank()).items()},
        lambda network, optimizer: kind(network, optimizer, micro_batches),
        config=config,
        device=torch.device("cpu"),
    )


def parameters_of(session: Session) -> dict[str, nn.Parameter]:
    return {
        f"{name}/{key}": parameter
        for name, network in session.networks.items()
        for key, parameter in network.named_parameters()
    }


def gradient_places(session: Session) -> list[int]:
    return [p.grad.data_ptr() for p in parameters_of(session).values() if p.grad is not None]


def trained(kind: type[LocalEngine], config: TrainConfig) -> tuple[dict[str, Tensor], list[float]]:
    """Weights after a few steps, and the gradient norms of the last one."""
    session, layout = new_session_in_double(kind, config), lay_out_batch(config, world_size())
    places = gradient_places(session)
    source = RandomImages(config.global_batch, rank(), world_size())
    batches = source.batches(Position(epoch=0, images=0))
    for _ in range(STEPS):
        cut = cut_into_micro_batches(session, next(batches), config, layout)
        share = [in_double(micro_batch) for micro_batch in cut]
        result = train_step(
            session.objective, session.engines, share, session.state, all_reduce_sum
        )
        session.state = result.state
        session.images_seen += config.global_batch
    if kind is FlatEngine:
        assert gradient_places(session) == places  # still slices of the same buffers
    weights = {name: parameter.detach() for name, parameter in parameters_of(session).items()}
    return weights, [engine.gradient_norm() for engine in session.engines.values()]


def mean_gradient() -> Tensor:
    """Rank 0 comes back from `backward` before the others begin theirs."""
    network = nn.Linear(3, 1, bias=False)
    engine = FlatEngine(network, torch.optim.SGD(network.parameters()), world_size())
    order = new_gloo_group(30)
    if rank() > 0:
        dist.barrier(order)
    engine.backward(network(torch.full((1, 3), float(rank()))).sum(), last=True)
    if rank() == 0:
        dist.barrier(order)
    assert engine.finite()
    assert network.weight.grad is not None
    return network.weight.grad.clone()


def on_every_rank() -> tuple[dict[str, Tensor], list[float], Tensor]:
    return *trained(FlatEngine, CONFIG), mean_gradient()


@pytest.mark.integration
def test_three_ranks_equal_one_process_and_backward_does_not_wait() -> None:
    expected_weights, expected_norms = trained(LocalEngine, replace(CONFIG, micro_batch=None))
    ranks = run_ranks(on_every_rank, 3)
    for weights, norms, gradient in ranks:
        assert norms == pytest.approx(expected_norms, rel=1e-12)
        for name, value in weights.items():
            assert float((value - expected_weights[name]).abs().max()) <= 1e-12, name
            assert torch.equal(value, ranks[0][0][name]), name
        assert torch.equal(gradient, torch.ones(1, 3))  # the mean of 0, 1 and 2


def test_it_shards_nothing_and_has_no_option_of_deepspeed() -> None:
    with pytest.raises(ConfigError, match=r"zero_stage = 1: .*add engine\.zero_stage=0"):
        EngineConfig(name="flat")
    with pytest.raises(ConfigError, match="overlap_communication = True: an option of DeepSpeed"):
        EngineConfig(name="flat", zero_stage=0, overlap_communication=True)
