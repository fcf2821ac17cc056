"""What a worker tells while it trains: log lines, metrics and progress."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import ray
import torch

from cluster.collectives import rank, world_size
from cluster.config import ClusterConfig
from cluster.exporter import Exporter
from cluster.metrics_log import MetricsLog
from ganinv.errors import GanInvError, StorageError
from ganinv.loop import Row
from ganinv.seams import Store
from ganinv.training import Session

REPORT_EVERY_S = 0.5  # to the driver's progress bar
ROOMS = ("ganinv", "datasets", "cluster", "launch")  # whose log lines a person should read


class SayHandler(logging.Handler):
    """Log lines go to the person who watches the driver."""

    def __init__(self, directory: Any) -> None:
        super().__init__()
        self._directory = directory

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        self._directory.say.remote(f"rank {rank()}: {level}{record.getMessage()}")


def run_worker(directory: Any, cluster: ClusterConfig, work: Callable[[], None]) -> None:
    """`work` as a worker does it: it is heard, and errors that no restart mends end the run."""
    for room in ROOMS:
        logging.getLogger(room).addHandler(SayHandler(directory))
        logging.getLogger(room).setLevel(logging.INFO if rank() == 0 else logging.WARNING)
    if ray.get(directory.error.remote()) is not None:
        return  # a group that Ray restarted although the run is over
    # Workers that share cores and each start a thread per core mostly wait for one another.
    torch.set_num_threads(max(1, int(cluster.cpus_per_worker)))
    try:
        work()
    except StorageError:
        raise  # an outage may pass: Ray starts the group again, within its budget
    except GanInvError as error:
        ray.get(directory.fail.remote(error))


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
