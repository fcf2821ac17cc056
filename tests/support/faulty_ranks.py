"""A rank of a tiny real training with a real exporter, as a process that becomes faulty on demand.

    python -m tests.support.faulty_ranks '{"name": …, "folder": …}'

The rank trains normally until its `folder` holds a file `faulty`; from then on its `fault` acts.
Gloo joins the ranks of a run. They exchange no gradients and there is no Ray: metrics of a rank
show other ranks only by the time that it waits for the slowest rank in every sum.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from cluster.collectives import all_reduce_sum
from cluster.monitoring.exporter import Exporter
from cluster.storage.counting import CountingStore
from cluster.storage.opening import open_store
from cluster.storage.retries import RetryPolicy
from datasets.shards.index import Index
from datasets.streaming import slot_reader
from datasets.streaming.config import LoaderConfig
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from ganinv.errors import StorageError
from ganinv.seams.batches import BatchSource
from ganinv.seams.engine import LocalEngine
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.loop import Row, TimeState, run
from ganinv.training.session import Session
from ganinv.training.statistics import all_statistics
from tests.support.runs import RandomImages, local_session, make_objective

BATCH = 4
PAUSE_S = 0.3  # in every step: a dozen ranks share two cores
NORMAL = TrainConfig(
    images=10**9,
    global_batch=BATCH,
    learning_rate=0.003,
    epsilon=1e-3,
    log_every=4 * BATCH,
    checkpoint_every=20 * BATCH,
    max_nonfinite_steps=10**6,
)


@dataclass(frozen=True, kw_only=True)
class FaultyRank:
    """One rank of a run."""

    name: str  # the run's
    folder: str  # holds `address-RANK`, `faulty`, and the file by which the ranks find each other
    rank: int = 0
    world: int = 1
    fault: str = ""  # see `with_fault` and `Watcher.logged`; empty: the test acts from outside
    data_url: str | None = None  # images of 16 pixels; None: random images made in the process
    data_endpoint: str | None = None
    store_url: str | None = None  # where checkpoints go; None: no checkpoints
    store_endpoint: str | None = None

    @property
    def faulty(self) -> bool:
        """Whether the fault acts now."""
        return (Path(self.folder) / "faulty").exists()


class Watcher:
    """Implements `ganinv.training.loop.Observer`: exports metrics, stops once for the fault."""

    def __init__(self, process: FaultyRank, exporter: Exporter) -> None:
        self._process = process
        self._exporter = exporter
        self._faulty = process.faulty

    @contextmanager
    def timed(self, state: TimeState) -> Iterator[None]:
        with self._exporter.timed(state):
            if state == "compute":
                time.sleep(PAUSE_S)
            yield

    def stepped(self, images: int, *, applied: bool) -> None:
        self._exporter.stepped(images // self._process.world, applied=applied)

    def logged(self, row: Row, session: Session) -> None:
        if self._faulty and self._process.fault == "collapsed":
            row = {**row, "latent/effective": 1.0}  # made up
        self._exporter.logged(row, session)

    def went_back(self, images_seen: int, restored: int) -> None:
        raise AssertionError(f"at {images_seen}: there is nothing at {restored} to go back to")

    def stop_requested(self) -> bool:
        if self._faulty or not self._process.faulty:
            return False
        self._faulty = True
        return True


class FrozenEngine(LocalEngine):
    """Computes gradients and never applies them."""

    def finish(self, *, apply: bool) -> None:
        del apply
        super().finish(apply=False)


def main(process: FaultyRank) -> None:
    torch.set_num_threads(1)
    _join(process)
    statistics = all_statistics().values()
    with closing(
        Exporter(process.name, process.rank, process.world, "127.0.0.1", statistics)
    ) as exporter:
        exporter.planned(NORMAL.images, NORMAL.checkpoint_every)
        exporter.restarted({"failure": 0}, 0)
        _announce(process, exporter)
        session = local_session(make_objective("dlsgan"), NORMAL)
        exporter.enter("compute")
        _train(process, session, NORMAL, exporter)  # ends when `faulty` appears
        _train(process, session, with_fault(process.fault, session, exporter), exporter)


def with_fault(fault: str, session: Session, exporter: Exporter) -> TrainConfig:
    """Introduce the fault; returns the options to train with from now on."""
    if fault == "exploding":
        return replace(NORMAL, learning_rate=1e30)
    if fault == "saturated":  # a generator that never learns, a discriminator without R1
        session.objective = make_objective("dlsgan", lambda_r1=0.0)
        session.engines["g"] = FrozenEngine(**vars(session.engines["g"]))
        return replace(NORMAL, learning_rate=0.03)
    if fault == "restarting":
        exporter.restarted({"failure": 3}, 0)  # made up
    return NORMAL


def _train(process: FaultyRank, session: Session, config: TrainConfig, exporter: Exporter) -> None:
    def save() -> None:
        if process.store_url is not None and process.rank == 0:
            _save(process, exporter, session.images_seen)
        _reduce(process, exporter, torch.zeros((), dtype=torch.float64))  # all wait for rank 0

    run(
        session,
        config,
        lay_out_batch(config, process.world),
        source=_source(process),
        reduce=lambda total: _reduce(process, exporter, total),
        observer=Watcher(process, exporter),
        save=save,
        restore=lambda: None,
        evaluate=dict,
    )


def _join(process: FaultyRank) -> None:
    if process.world > 1:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{process.folder}/rendezvous",
            rank=process.rank,
            world_size=process.world,
            timeout=timedelta(minutes=10),
        )


def _announce(process: FaultyRank, exporter: Exporter) -> None:
    path = Path(process.folder) / f"address-{process.rank}"
    path.with_suffix(".new").write_text(exporter.address)
    path.with_suffix(".new").replace(path)


def _reduce(process: FaultyRank, exporter: Exporter, total: Tensor) -> Tensor:
    if process.world == 1:
        return total
    with exporter.timed("communicate"):
        return all_reduce_sum(total)


def _save(process: FaultyRank, exporter: Exporter, images_seen: int) -> None:
    """Write an object in place of a checkpoint; errors are counted and training continues."""
    assert process.store_url is not None
    plain = open_store(process.store_url, endpoint_url=process.store_endpoint)
    with suppress(StorageError):
        CountingStore(plain, exporter.requested).write(f"{images_seen:012}", b"saved")
        exporter.committed(images_seen)


def _source(process: FaultyRank) -> BatchSource:
    if process.data_url is None:
        return RandomImages(BATCH, process.rank, process.world)
    slot_reader._MAX_WINDOW_SAMPLES = BATCH  # a request per batch, almost nothing in stock
    retries = RetryPolicy(deadline_s=300)
    store = open_store(process.data_url, endpoint_url=process.data_endpoint, retries=retries)
    return ShardBatches(
        [DataSet(store=store, index=Index.load(store))],
        "train",
        seed=0,
        global_batch=BATCH,
        rank=process.rank,
        world=process.world,
        config=LoaderConfig(prefetch_bytes=20_000),
    )


if __name__ == "__main__":
    main(FaultyRank(**json.loads(sys.argv[1])))
