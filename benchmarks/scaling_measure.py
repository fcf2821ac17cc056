"""Measures real training steps on one to four processes, and the cost of their collectives.

The steps are those of `ganinv train` (DeepSpeed, gloo, one thread per process) on images in memory;
no storage is involved.
"""

import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from cluster.collectives import all_reduce_sum
from ganinv import networks, objectives
from ganinv.seams.batches import Position
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.session import MakeEngine, Session, new_session, train_batch
from launch.options.loading import load_config, load_recipe
from launch.options.schema import RunConfig
from tests.support.gloo import run_ranks
from tests.support.runs import RandomImages

RECIPES = {"tiny-pvdgan": 16, "avatars32-pvdgan": 32}  # recipe → pixels a side
SHARES = (4, 8, 16)  # images per worker
WORLDS = (1, 2, 3, 4)
STEPS = 7  # per measurement; the first step is not counted
MESSAGES = (8, 64 * 1024, 4 * 2**20)  # bytes of an all-reduce


class CountFlops(TorchDispatchMode):
    """Counts FLOPs with torch's formulas. Torch's own counter fails on gradients of gradients."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        found = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=found)
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTimes:
    """Seconds of successive steps on rank 0."""

    recipe: str
    workers: int
    share: int
    seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)


def config_of(recipe: str) -> RunConfig:
    return load_config(load_recipe(recipe), ["storage.run=unused", "data.url=unused"])


def measure(rounds: int) -> tuple[list[StepTimes], dict[int, dict[int, float]], dict[str, int]]:
    """Measure every case in `rounds` rounds over all numbers of workers.

    Returns step times; workers → bytes → seconds of an all-reduce; recipe → bytes of gradients.
    """
    times: dict[tuple[str, int, int], list[float]] = defaultdict(list)
    messages: dict[tuple[int, int], list[float]] = defaultdict(list)
    gradient_bytes: dict[str, int] = {}
    for _ in range(rounds):
        for workers in WORLDS:
            steps, reductions, gradient_bytes = run_ranks(_measure_rank, workers)[0]
            for (recipe, share), seconds in steps.items():
                times[recipe, workers, share] += seconds
            for size, second in reductions.items():
                messages[workers, size] += second
    found = [
        StepTimes(recipe=recipe, workers=workers, share=share, seconds=tuple(seconds))
        for (recipe, workers, share), seconds in times.items()
    ]
    reduced = {
        w: {size: statistics.median(messages[w, size]) for size in MESSAGES} for w in WORLDS[1:]
    }
    return found, reduced, gradient_bytes


def _measure_rank() -> tuple[
    dict[tuple[str, int], list[float]], dict[int, list[float]], dict[str, int]
]:
    steps, gradient_bytes = {}, {}
    for recipe in RECIPES:
        for share in SHARES:
            session, seconds = _train(recipe, share)
            steps[recipe, share] = seconds
        gradient_bytes[recipe] = _gradient_bytes(session)
    reductions = {size: _reduce(size) for size in MESSAGES} if dist.get_world_size() > 1 else {}
    return steps, reductions, gradient_bytes


def _train(recipe: str, share: int) -> tuple[Session, list[float]]:
    from cluster.engine import (
        DeepSpeedEngine,
    )  # its import takes seconds, and needs a process group

    config = config_of(recipe)
    world = dist.get_world_size()
    train = replace(config.train, global_batch=share * world)
    layout = lay_out_batch(train, world)
    session = _session(
        config, train, RECIPES[recipe],
        lambda network, optimizer: DeepSpeedEngine(
            network, optimizer, config.engine, layout, "fp32"
        ),
    )  # fmt: skip
    source = RandomImages(train.global_batch, dist.get_rank(), world, RECIPES[recipe])
    batches = source.batches(Position(epoch=0, images=0))
    seconds = []
    for _ in range(STEPS):
        batch = next(batches)
        all_reduce_sum(torch.zeros(1, dtype=torch.float64))  # all ranks start together
        began = time.perf_counter()
        train_batch(session, batch, train, layout, all_reduce_sum)
        seconds.append(time.perf_counter() - began)
    return session, seconds[1:]


def _session(config: RunConfig, train: TrainConfig, resolution: int, engine: MakeEngine) -> Session:
    method = objectives.find(config.objective.name)
    return new_session(
        method.Objective(config.objective, config.network.latent_size),
        networks.find(config.network.name).build(
            config.network, resolution=resolution, image_channels=3, seed=0
        ),
        engine,
        config=train,
        device=torch.device("cpu"),
    )


def _gradient_bytes(session: Session) -> int:
    """Bytes of the gradients of all trained networks, in float32."""
    engines = session.engines.values()
    return sum(4 * p.numel() for engine in engines for p in engine.network.parameters())


def _reduce(size_bytes: int) -> list[float]:
    tensor = torch.zeros(size_bytes // 4)
    seconds = []
    for _ in range(30):
        dist.barrier()
        began = time.perf_counter()
        dist.all_reduce(tensor)
        seconds.append(time.perf_counter() - began)
    return seconds[5:]


def full_size(recipe: str, resolution: int) -> tuple[float, int]:
    """FLOPs per image of a training step of a recipe, and bytes of its gradients."""
    config = config_of(recipe)
    train = replace(config.train, global_batch=2)
    session = _session(config, train, resolution, LocalEngine)
    batch = next(RandomImages(2, resolution=resolution).batches(Position(epoch=0, images=0)))
    with CountFlops() as counter:
        train_batch(session, batch, train, lay_out_batch(train, 1), no_reduction)
    return counter.total / 2, _gradient_bytes(session)
