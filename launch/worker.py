"""What every worker of a run does: the one place where all rooms are wired together."""

import logging
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import ray
import ray.train.torch
import torch
from torch import Tensor, nn

from cluster import checkpoint
from cluster.collectives import all_reduce_sum, rank, world_size
from cluster.counting import CountingStore
from cluster.engine import DeepSpeedEngine
from cluster.exporter import Exporter
from cluster.metrics_log import MetricsLog
from cluster.storage import open_store
from datasets.index import Index
from datasets.loader import ShardBatches, read_samples
from ganinv import networks, objectives
from ganinv.errors import GanInvError, StorageError
from ganinv.evaluation import Share, inversion_figures
from ganinv.loop import Row, run
from ganinv.seams import Store
from ganinv.training import Session, new_session, split_batch
from launch.config import RunConfig

log = logging.getLogger(__name__)
ROOMS = ("ganinv", "datasets", "cluster", "launch")  # whose log lines a person should read
REPORT_EVERY_S = 0.5  # to the driver's progress bar


def train_worker(payload: dict[str, Any]) -> None:
    """Ray Train's training function. Errors that no restart can mend go to the directory."""
    directory = payload["directory"]
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    for room in ROOMS:
        logging.getLogger(room).addHandler(SayHandler(directory))
        logging.getLogger(room).setLevel(logging.INFO if rank() == 0 else logging.WARNING)
    if ray.get(directory.error.remote()) is not None:
        return  # a group that Ray restarted although the run is over
    config: RunConfig = payload["config"]
    # Workers that share cores and each start a thread per core mostly wait for one another.
    torch.set_num_threads(max(1, int(config.cluster.cpus_per_worker)))
    try:
        _train(config, directory)
    except StorageError:
        raise  # an outage may pass: Ray starts the group again, within its budget
    except GanInvError as error:
        ray.get(directory.fail.remote(error))


def build_session(config: RunConfig, index: Index, device: torch.device) -> Session:
    """Networks at their initial weights under DeepSpeed; the same on every rank."""
    split = split_batch(config.train, world_size())
    objective = objectives.find(config.objective.name).Objective(config.objective)
    pair = networks.find(config.network.name).build(
        config.network, resolution=index.resolution, image_channels=3, seed=config.train.seed
    )

    def engine(network: nn.Module) -> DeepSpeedEngine:
        optimizer = config.train.optimizer(network)
        return DeepSpeedEngine(network, optimizer, config.engine, split, config.train.precision)

    return new_session(
        objective,
        pair,
        engine,
        config=config.train,
        latent_size=config.network.latent_size,
        device=device,
    )


def _train(config: RunConfig, directory: Any) -> None:
    exporter = Exporter(config.storage.run, rank(), world_size(), config.metrics.host)
    with closing(exporter):
        ray.get(directory.register.remote(rank(), exporter.address))
        endpoint = config.storage.endpoint_url
        storage = CountingStore(
            open_store(config.storage.run, endpoint_url=endpoint), exporter.requested
        )
        data = CountingStore(open_store(config.data.url, endpoint_url=endpoint), exporter.requested)
        index = Index.load(data)
        device = ray.train.torch.get_device() if config.cluster.use_gpu else torch.device("cpu")
        session = build_session(config, index, device)
        manifest = checkpoint.restore(session, storage)
        if manifest is not None:
            log.info("going on from checkpoint %s", manifest.name)
            exporter.committed(manifest.images_seen)
        watcher = Watcher(exporter, directory, storage, session.images_seen)
        evaluation = Evaluation(config, session, data, index)
        identity = checkpoint.RunIdentity(
            seed=config.train.seed, data_fingerprint=index.fingerprint, config=config.resolved
        )

        def save() -> None:
            watcher.flush()  # no row up to a checkpoint may be missing after a resume
            checkpoint.save(session, storage, identity, config.checkpoint)
            exporter.committed(session.images_seen)

        def reduce(total: Tensor) -> Tensor:
            with exporter.timed("communicate"):
                return all_reduce_sum(total)

        exporter.enter("compute")
        run(
            session,
            config.train,
            split_batch(config.train, world_size()),
            source=ShardBatches(
                data,
                index,
                "train",
                seed=config.train.seed,
                global_batch=config.train.global_batch,
                rank=rank(),
                world=world_size(),
                prefetch_batches=config.data.prefetch_batches,
            ),
            reduce=reduce,
            observer=watcher,
            save=save,
            evaluate=evaluation,
        )
        watcher.finish(session)


class SayHandler(logging.Handler):
    """Log lines go to the person who watches the driver."""

    def __init__(self, directory: Any) -> None:
        super().__init__()
        self._directory = directory

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        self._directory.say.remote(f"rank {rank()}: {level}{record.getMessage()}")


class Watcher:
    """Member of `ganinv.loop.Observer`: Prometheus, `metrics.jsonl` and the progress bar."""

    def __init__(self, exporter: Exporter, directory: Any, store: Store, images_seen: int) -> None:
        self._exporter = exporter
        self._directory = directory
        self._images_seen = images_seen
        self._reported = 0.0
        self._stop = threading.Event()
        self._log = MetricsLog(store, images_seen) if rank() == 0 else None
        self.timed = exporter.timed
        if rank() == 0:
            restarts, lost = ray.get(directory.group_started.remote(images_seen))
            exporter.restarted({"failure": restarts}, lost)
        threading.Thread(target=self._wait_for_stop, daemon=True).start()

    def stepped(self, images: int, *, applied: bool) -> None:
        self._exporter.stepped(images // world_size(), applied=applied)
        self._images_seen += images
        if rank() == 0 and time.monotonic() - self._reported >= REPORT_EVERY_S:
            self._directory.report.remote({"images_seen": self._images_seen})
            self._reported = time.monotonic()

    def logged(self, row: Row, session: Session) -> None:
        self._exporter.logged(row, session)
        if self._log is not None:
            self._log.append(row)
            self._directory.report.remote(row)

    def stop_requested(self) -> bool:
        return self._stop.is_set()

    def flush(self) -> None:
        if self._log is not None:
            self._log.flush()

    def finish(self, session: Session) -> None:
        self.flush()
        if rank() == 0:
            ray.get(self._directory.report.remote({"images_seen": session.images_seen}))

    def _wait_for_stop(self) -> None:
        try:
            ray.get(self._directory.wait_for_stop.remote())
        except ray.exceptions.RayError:
            return  # the driver has gone, and this worker is about to
        self._stop.set()


@dataclass
class Evaluation:
    """Inversion figures with the first row, every `evaluate.every` images, and the last."""

    config: RunConfig
    session: Session
    data: Store
    index: Index
    _held_out: Tensor | None = None

    def __call__(self) -> Row:
        if not self._due():
            return {}
        options = self.config.evaluate
        return inversion_figures(
            self.session.model(),
            self._share_of_held_out(),
            generated=options.generated_images,
            seed=options.seed,
            share=Share(rank=rank(), world=world_size()),
            reduce=all_reduce_sum,
        )

    def _due(self) -> bool:
        seen, step = self.session.images_seen, self.config.train.global_batch
        first = seen - step < self.config.train.log_every <= seen
        every, row = self.config.evaluate.every, self.config.train.log_every
        last_row = max(0, (seen // row - 1) * row)  # as far as it can be told without memory
        return first or seen >= self.config.train.images or seen // every > last_row // every

    def _share_of_held_out(self) -> Tensor:
        if self._held_out is None:
            count = min(self.config.evaluate.test_images, self.index.samples("test"))
            images, _, _ = read_samples(self.data, self.index, "test", 0, count)
            self._held_out = images[rank() :: world_size()]
        return self._held_out
