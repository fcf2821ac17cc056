"""A tiny real training with a real exporter, as a process, that falls ill when it is told to.

    python -m tests.support.patients '{"name": …, "folder": …}'

It trains healthily until its `folder` holds a file `ill`, then goes on as its `illness` says. Ranks
are joined by gloo. Their gradients are not exchanged, and Ray is not there: what metrics see of
other ranks is that all wait for the slowest in every sum.
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
from cluster.storage.patience import Patience
from datasets.shards.index import Index
from datasets.streaming import strand as windows
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
PAUSE_S = 0.3  # in every step: a dozen of patients share two cores
HEALTHY = TrainConfig(
    images=10**9,
    global_batch=BATCH,
    learning_rate=0.003,
    epsilon=1e-3,
    log_every=4 * BATCH,
    checkpoint_every=20 * BATCH,
    max_nonfinite_steps=10**6,
)


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One rank of a run."""

    name: str  # of the run
    folder: str  # where it writes `address-RANK`, reads `ill`, and ranks meet
    rank: int = 0
    world: int = 1
    illness: str = ""  # one of Watcher.logged and sicken; else it comes from outside
    data_url: str | None = None  # of 16 pixels; None: random images, made here
    data_endpoint: str | None = None
    store_url: str | None = None  # where checkpoints go; None: nowhere
    store_endpoint: str | None = None

    @property
    def ill(self) -> bool:
        return (Path(self.folder) / "ill").exists()


class Watcher:
    """Implements `ganinv.training.loop.Observer`: metrics, and stopping to hear of the illness."""

    def __init__(self, patient: Patient, exporter: Exporter) -> None:
        self._patient = patient
        self._exporter = exporter
        self._sick = patient.ill

    @contextmanager
    def timed(self, state: TimeState) -> Iterator[None]:
        with self._exporter.timed(state):
            if state == "compute":
                time.sleep(PAUSE_S)
            yield

    def stepped(self, images: int, *, applied: bool) -> None:
        self._exporter.stepped(images // self._patient.world, applied=applied)

    def logged(self, row: Row, session: Session) -> None:
        if self._sick and self._patient.illness == "collapsed":
            row = {**row, "latent/effective": 1.0}  # fed
        self._exporter.logged(row, session)

    def went_back(self, images_seen: int, restored: int) -> None:
        raise AssertionError(f"at {images_seen}: there is nothing at {restored} to go back to")

    def stop_requested(self) -> bool:
        if self._sick or not self._patient.ill:
            return False
        self._sick = True
        return True


class Still(LocalEngine):
    """Goes through the motions and learns nothing."""

    def finish(self, *, apply: bool) -> None:
        del apply
        super().finish(apply=False)


def main(patient: Patient) -> None:
    torch.set_num_threads(1)
    _join(patient)
    statistics = all_statistics().values()
    with closing(
        Exporter(patient.name, patient.rank, patient.world, "127.0.0.1", statistics)
    ) as exporter:
        exporter.planned(HEALTHY.images, HEALTHY.checkpoint_every)
        exporter.restarted({"failure": 0}, 0)
        _announce(patient, exporter)
        session = local_session(make_objective("dlsgan"), HEALTHY)
        exporter.enter("compute")
        _train(patient, session, HEALTHY, exporter)
        _train(patient, session, sicken(patient.illness, session, exporter), exporter)


def sicken(illness: str, session: Session, exporter: Exporter) -> TrainConfig:
    """How to go on."""
    if illness == "exploding":
        return replace(HEALTHY, learning_rate=1e30)
    if illness == "saturated":  # a generator that stands still, a discriminator without R1
        session.objective = make_objective("dlsgan", lambda_r1=0.0)
        session.engines["g"] = Still(**vars(session.engines["g"]))
        return replace(HEALTHY, learning_rate=0.03)
    if illness == "restarting":
        exporter.restarted({"failure": 3}, 0)  # fed
    return HEALTHY


def _train(patient: Patient, session: Session, config: TrainConfig, exporter: Exporter) -> None:
    def save() -> None:
        if patient.store_url is not None and patient.rank == 0:
            _save(patient, exporter, session.images_seen)
        _reduce(patient, exporter, torch.zeros((), dtype=torch.float64))  # all wait for rank 0

    run(
        session,
        config,
        lay_out_batch(config, patient.world),
        source=_source(patient),
        reduce=lambda total: _reduce(patient, exporter, total),
        observer=Watcher(patient, exporter),
        save=save,
        restore=lambda: None,
        evaluate=dict,
    )


def _join(patient: Patient) -> None:
    if patient.world > 1:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{patient.folder}/rendezvous",
            rank=patient.rank,
            world_size=patient.world,
            timeout=timedelta(minutes=10),
        )


def _announce(patient: Patient, exporter: Exporter) -> None:
    path = Path(patient.folder) / f"address-{patient.rank}"
    path.with_suffix(".new").write_text(exporter.address)
    path.with_suffix(".new").replace(path)


def _reduce(patient: Patient, exporter: Exporter, total: Tensor) -> Tensor:
    if patient.world == 1:
        return total
    with exporter.timed("communicate"):
        return all_reduce_sum(total)


def _save(patient: Patient, exporter: Exporter, images_seen: int) -> None:
    """An object in place of a checkpoint; an error is counted, and training goes on."""
    assert patient.store_url is not None
    plain = open_store(patient.store_url, endpoint_url=patient.store_endpoint)
    with suppress(StorageError):
        CountingStore(plain, exporter.requested).write(f"{images_seen:012}", b"saved")
        exporter.committed(images_seen)


def _source(patient: Patient) -> BatchSource:
    if patient.data_url is None:
        return RandomImages(BATCH, patient.rank, patient.world)
    windows._MAX_WINDOW_SAMPLES = BATCH  # a request for each batch, and hardly a stock
    patience = Patience(deadline_s=300)
    store = open_store(patient.data_url, endpoint_url=patient.data_endpoint, patience=patience)
    return ShardBatches(
        [DataSet(store=store, index=Index.load(store))],
        "train",
        seed=0,
        global_batch=BATCH,
        rank=patient.rank,
        world=patient.world,
        config=LoaderConfig(prefetch_bytes=20_000),
    )


if __name__ == "__main__":
    main(Patient(**json.loads(sys.argv[1])))
