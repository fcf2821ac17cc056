"""What a worker tells while it trains: log lines, metrics, progress and figures of inversion."""

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

import ray
from torch import Tensor

from cluster.collectives import all_reduce_sum, rank, world_size
from cluster.exporter import Exporter
from cluster.metrics_log import MetricsLog
from datasets.index import Index
from datasets.loader import read_samples
from ganinv.evaluation import Share, inversion_figures
from ganinv.loop import Row
from ganinv.seams import Store
from ganinv.training import Session
from launch.schema import RunConfig

REPORT_EVERY_S = 0.5  # to the driver's progress bar


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
