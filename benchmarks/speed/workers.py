"""Part 3: images per second of two workers against one, on gloo, with one thread each.

The steps are those of `ganinv train` (DeepSpeed) on images in memory. Beside two workers that train
together, two that train apart, without any exchange, show what the machine itself allows.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
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
# Of `ganinv train`; the second one has a module of its own.
ENGINES = ("deepspeed", "flat") if find_spec("cluster.flat_engine") else ("deepspeed",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """How some workers train: images of each in a step, and the engine; None: apart, locally."""

    name: str
    workers: int
    share: int
    engine: str | None = None


def _kinds() -> tuple[tuple[Kind, ...], tuple[Kind, ...]]:
    """One worker, and two, with every engine there is."""
    ones, pairs = [], [Kind(name="apart", workers=2, share=16)]
    for engine in ENGINES:
        ones.append(Kind(name=f"{engine}, one", workers=1, share=16, engine=engine))
        pairs.append(Kind(name=f"{engine}, same batch", workers=2, share=8, engine=engine))
        pairs.append(Kind(name=f"{engine}, same share", workers=2, share=16, engine=engine))
    return tuple(ones), tuple(pairs)


def measure(*, short: bool) -> dict[str, Any]:
    """Rates of one worker and of two, and their ratios per round."""
    ones, twos = _kinds()
    rounds, windows = (1, 1) if short else (ROUNDS, WINDOWS)
    rates: dict[str, list[float]] = defaultdict(list)
    ratios: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        alone = run_ranks(windows_of, 1, ones, windows)[0]
        pairs = run_ranks(windows_of, 2, twos, windows)[0]
        for name, found in (alone | pairs).items():
            rates[name] += found
        for name, found in pairs.items():
            one = alone[f"{_engine_of(name)}, one"]
            ratios[name].append(spread(found)["median"] / spread(one)["median"])
    return {
        "case": CONV,
        "images_per_s": {name: spread(found) for name, found in rates.items()},
        "ratio": {name: spread(found) for name, found in ratios.items()},
    }


def _engine_of(name: str) -> str:
    """Of a pair; workers apart are compared with one worker of the first engine."""
    return next((engine for engine in ENGINES if name.startswith(engine)), ENGINES[0])


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
    world = kind.workers if kind.engine else 1
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
        _make_engine(kind.engine, layout),
        config=config,
        device=torch.device("cpu"),
    )
    rank = torch.distributed.get_rank() if kind.engine else 0
    source = RandomImages(config.global_batch, rank, world, CONV["resolution"])
    batch = next(source.batches(Position(epoch=0, images=0)))

    def train(steps: int) -> None:
        reduce = all_reduce_sum if kind.engine else no_reduction
        for _ in range(steps):
            train_batch(session, batch, config, layout, reduce)

    return train


def _make_engine(name: str | None, layout: BatchLayout) -> MakeEngine:
    if name is None:
        return LocalEngine
    if name == "flat":
        flat: Any = import_module("cluster.flat_engine").FlatEngine
        return lambda network, optimizer: flat(
            network, optimizer, layout.micro_batches, precision="fp32"
        )
    from cluster.engine import DeepSpeedEngine  # its import takes seconds

    return lambda network, optimizer: DeepSpeedEngine(
        network, optimizer, EngineConfig(), layout, "fp32"
    )
