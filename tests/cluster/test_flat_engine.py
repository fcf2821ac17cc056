"""The flat engine: exact on three ranks in float64, and its reduction does not wait in `backward`.

`test_engine.py`, `test_engine_optimizers.py` and `checkpoints/test_contents_ranks.py` test it
together with DeepSpeed's engines.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple
from unittest.mock import patch

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
from ganinv.training.session import Session, cut_into_micro_batches, new_session, train_batch
from ganinv.training.step import train_step
from tests.support.engines import distributed_session
from tests.support.gloo import run_ranks
from tests.support.micro_batches import in_double
from tests.support.runs import (
    TRAIN,
    RandomImages,
    build_networks,
    make_objective,
    snapshot,
)

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


class InTurn(FlatEngine):
    """Waits for each reduction at once: without overlap."""

    def backward(self, loss: Tensor, *, last: bool) -> None:
        super().backward(loss, last=last)
        if self._reduction is not None:
            self._reduction.wait()
            self._reduction = None


class Course(NamedTuple):
    """Three steps, the second of them void: what came of it, and every collective on the way."""

    tensors: dict[str, Tensor]
    norms: list[float]
    applied: list[bool]
    collectives: list[tuple[torch.dtype, int]]


@contextmanager
def recorded(collectives: list[tuple[torch.dtype, int]]) -> Iterator[None]:
    plain = dist.all_reduce

    def all_reduce(tensor: Tensor, **options: Any) -> Any:
        collectives.append((tensor.dtype, tensor.numel()))
        return plain(tensor, **options)

    with patch.object(dist, "all_reduce", all_reduce):
        yield


def course(options: dict[str, Any], kind: type[FlatEngine], *, on_device: bool = False) -> Course:
    """Rank 1 meets a NaN in D's second gradient."""
    with patch("cluster.flat_engine.FlatEngine", kind):
        session = distributed_session(("pvdgan", options), "flat", CONFIG)
    session.on_device = on_device
    layout = lay_out_batch(CONFIG, world_size())
    bias = session.engines["d"].network.adversarial.bias
    batches = RandomImages(CONFIG.global_batch, rank(), world_size()).batches(session.position)
    collectives: list[tuple[torch.dtype, int]] = []
    results = []
    for number in range(STEPS):
        spoilt = number == 1 and rank() == 1
        hook = bias.register_hook(lambda g, spoilt=spoilt: g * float("nan") if spoilt else g)
        with recorded(collectives):
            results.append(train_batch(session, next(batches), CONFIG, layout, all_reduce_sum))
        hook.remove()
    norms = [engine.gradient_norm() for engine in session.engines.values()]
    return Course(snapshot(session), norms, [result.applied for result in results], collectives)


SEQUENTIAL = {"schedule": "sequential"}


class Found(NamedTuple):
    weights: dict[str, Tensor]
    norms: list[float]
    mean_gradient: Tensor
    courses: dict[str, list[Course]]  # by schedule: with overlap, without, decided on the device


def on_every_rank() -> Found:
    courses = {
        name: [
            course(options, FlatEngine),
            course(options, InTurn),
            course(options, FlatEngine, on_device=True),
        ]
        for name, options in (("simultaneous", {}), ("sequential", SEQUENTIAL))
    }
    return Found(*trained(FlatEngine, CONFIG), mean_gradient(), courses)


@pytest.fixture(scope="module")
def ranks() -> list[Found]:
    return run_ranks(on_every_rank, 3)


@pytest.mark.integration
def test_overlap_and_decisions_on_the_device_change_no_bit(ranks: list[Found]) -> None:
    for found in ranks:
        for overlapping, in_turn, on_device in found.courses.values():
            assert (
                overlapping.applied == in_turn.applied == on_device.applied == [True, False, True]
            )
            assert overlapping.norms == in_turn.norms == on_device.norms
            for name, value in overlapping.tensors.items():
                assert torch.equal(in_turn.tensors[name], value), name
                if "/average/" in name:  # of another kernel
                    torch.testing.assert_close(on_device.tensors[name], value, rtol=1e-6, atol=1e-7)
                else:
                    assert torch.equal(on_device.tensors[name], value), name


@pytest.mark.integration
def test_all_ranks_start_the_same_collectives_in_the_same_order(ranks: list[Found]) -> None:
    for schedule, courses in ranks[0].courses.items():
        for number, first in enumerate(courses):
            for other in ranks[1:]:
                assert other.courses[schedule][number].collectives == first.collectives
    overlapping, in_turn, on_device = (c.collectives for c in ranks[0].courses["simultaneous"])
    d, g, agreement = overlapping[:3]
    assert d[0] == g[0] == torch.float32
    assert agreement[0] == torch.float64
    assert overlapping == in_turn == on_device == 3 * [d, g, agreement]
    # If the host decides, nobody begins G's round of the void step; the device goes on to its end.
    host, _, device = (c.collectives for c in ranks[0].courses["sequential"])
    d, first_agreement, g, second_agreement = host[:4]
    whole = [d, first_agreement, g, second_agreement]
    assert host == [*whole, d, first_agreement, *whole]
    assert device == 3 * whole


@pytest.mark.integration
def test_three_ranks_equal_one_process_and_backward_does_not_wait(ranks: list[Found]) -> None:
    expected_weights, expected_norms = trained(LocalEngine, replace(CONFIG, micro_batch=None))
    for weights, norms, gradient, _ in ranks:
        assert norms == pytest.approx(expected_norms, rel=1e-12)
        for name, value in weights.items():
            assert float((value - expected_weights[name]).abs().max()) <= 1e-12, name
            assert torch.equal(value, ranks[0].weights[name]), name
        assert torch.equal(gradient, torch.ones(1, 3))  # the mean of 0, 1 and 2


def test_it_shards_nothing_and_has_no_option_of_deepspeed() -> None:
    with pytest.raises(ConfigError, match=r"zero_stage = 1: .*add engine\.zero_stage=0"):
        EngineConfig(name="flat")
    with pytest.raises(ConfigError, match="overlap_communication = True: an option of DeepSpeed"):
        EngineConfig(name="flat", zero_stage=0, overlap_communication=True)
