"""Part 3: images per second of two workers against one, on gloo, with one thread each.

The steps are those of `ganinv train` (DeepSpeed) on images in memory. Beside two workers that train
together, two that train apart, without any exchange, show what the machine itself allows.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.results import spread
from benchmarks.speed.step import CONV
from cluster.collectives import all_reduce_sum
from cluster.config import EngineConfig
from cluster.workers.heap import keep_freed_memory
from ganinv import networks, objectives
from ganinv.seams.batches import Position
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.config import BatchLayout, TrainConfig, lay_out_batch
from ganinv.training.session import MakeEngine, new_session, train_batch
from tests.support.gloo import run_ranks
from tests.support.runs import RandomImages

ROUNDS = 3  # of fresh processes
WINDOWS = 3  # of each kind in a round, in turn
STEPS = 3  # in a window


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """How some workers train: images of each of them in a step, and whether they exchange."""

    name: str
    workers: int
    share: int
    together: bool = True


ONE = Kind(name="one", workers=1, share=16)
PAIRS = (
    Kind(name="same batch", workers=2, share=8),
    Kind(name="same share", workers=2, share=16),
    Kind(name="apart", workers=2, share=16, together=False),
)


def measure(*, short: bool) -> dict[str, Any]:
    """Rates of one worker and of two, and their ratios per round."""
    rounds, windows = (1, 1) if short else (ROUNDS, WINDOWS)
    rates: dict[str, list[float]] = defaultdict(list)
    ratios: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        alone = run_ranks(windows_of, 1, (ONE,), windows)[0]
        pairs = run_ranks(windows_of, 2, PAIRS, windows)[0]
        for name, found in (alone | pairs).items():
            rates[name] += found
        for name, found in pairs.items():
            ratios[name].append(spread(found)["median"] / spread(alone["one"])["median"])
    return {
        "case": CONV,
        "images_per_s": {name: spread(found) for name, found in rates.items()},
        "ratio": {name: spread(found) for name, found in ratios.items()},
    }


def windows_of(kinds: tuple[Kind, ...], windows: int) -> dict[str, list[float]]:
    """On every rank: images per second of all workers, windows of all kinds in turn."""
    keep_freed_memory()
    trainings = {kind.name: _training(kind) for kind in kinds}
    for step in trainings.values():
        step(1)  # warms up
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(windows):
        for kind in kinds:
            all_reduce_sum(torch.zeros(1, dtype=torch.float64))  # all workers start together
            began = time.perf_counter()
            trainings[kind.name](STEPS)
            all_reduce_sum(torch.zeros(1, dtype=torch.float64))  # and the last one counts
            images = kind.workers * kind.share * STEPS
            found[kind.name].append(images / (time.perf_counter() - began))
    return dict(found)


def _training(kind: Kind) -> Callable[[int], None]:
    """A function that trains some steps."""
    world = kind.workers if kind.together else 1
    config = TrainConfig(images=10**9, global_batch=kind.share * world)
    layout = lay_out_batch(config, world)
    method, family = objectives.find("pvdgan"), networks.find(CONV["family"])
    size = CONV["network"]["latent_size"]
    session = new_session(
        method.Objective(method.Config(), size),
        family.build(
            family.Config(**CONV["network"]),
            resolution=CONV["resolution"],
            image_channels=3,
            seed=0,
        ),
        _deepspeed(layout) if kind.together else LocalEngine,
        config=config,
        device=torch.device("cpu"),
    )
    rank = torch.distributed.get_rank() if kind.together else 0
    source = RandomImages(config.global_batch, rank, world, CONV["resolution"])
    batch = next(source.batches(Position(epoch=0, images=0)))

    def train(steps: int) -> None:
        reduce = all_reduce_sum if kind.together else no_reduction
        for _ in range(steps):
            train_batch(session, batch, config, layout, reduce)

    return train


def _deepspeed(layout: BatchLayout) -> MakeEngine:
    from cluster.engine import DeepSpeedEngine  # its import takes seconds

    return lambda network, optimizer: DeepSpeedEngine(
        network, optimizer, EngineConfig(), layout, "fp32"
    )
