"""What a worker reports while it trains: log lines, metrics and progress."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import torch

from cluster.collectives import rank, world_size
from cluster.config import ClusterConfig
from cluster.monitoring.exporter import Exporter
from cluster.run_folder.group_history import REASONS, Summary
from cluster.run_folder.metrics_log import MetricsLog
from cluster.workers import own_start
from cluster.workers.endings import Restart, no_restart_mends
from cluster.workers.live_groups import WorkerLocation
from cluster.workers.sigterm import sigterm_received
from cluster.workers.watchdog import Watchdog
from ganinv.errors import GanInvError
from ganinv.seams.stores import Store
from ganinv.training.loop import Row, TimeState
from ganinv.training.session import Session

REPORT_EVERY_S = 0.5  # to the driver's progress bar
PACKAGES = ("ganinv", "datasets", "cluster", "launch")  # whose log lines the user sees


class DriverHandler(logging.Handler):
    """Sends log lines to the driver's output."""

    def __init__(self, directory: Any) -> None:
        super().__init__()
        self._directory = directory

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        self._directory.post_message.remote(f"rank {rank()}: {level}{record.getMessage()}")


def run_worker(directory: Any, cluster: ClusterConfig, work: Callable[[], None]) -> None:
    """Run `work` on a worker: send its log lines to the driver, and report errors that end the run.

    An error that a new group may not meet again passes through, so that the group restarts.
    """
    for package in PACKAGES:
        logging.getLogger(package).addHandler(DriverHandler(directory))
        logging.getLogger(package).setLevel(logging.INFO if rank() == 0 else logging.WARNING)
    if ray.get(directory.error.remote()) is not None:
        return  # the run has ended already; this group must not train
    node = ray.get_runtime_context().get_node_id()
    directory.register_location.remote(WorkerLocation(rank(), node, own_log()))
    # Workers that share cores would wait for one another if each started a thread per core.
    torch.set_num_threads(max(1, int(cluster.cpus_per_worker)))
    try:
        work()
    except GanInvError as error:
        if not no_restart_mends(error):
            raise
        ray.get(directory.fail.remote(error))


def worker_device(cluster: ClusterConfig) -> torch.device:
    """The device of this worker."""
    if not cluster.use_gpu:
        return torch.device("cpu")
    from ray.train.torch import get_device  # late: it takes a second, and the driver needs none

    found: torch.device = get_device()
    return found


def own_log() -> str:
    """Path of the file that receives this process' standard error; empty if it is no file."""
    target = Path("/proc/self/fd/2").readlink()
    return str(target) if target.is_file() else ""


class Watcher:
    """Implements `ganinv.training.loop.Observer` and `SaveObserver`: metrics, log, progress."""

    def __init__(
        self, exporter: Exporter, directory: Any, store: Store, images_seen: int, watchdog: Watchdog
    ) -> None:
        self._exporter = exporter
        self._directory = directory
        self._store = store
        self._watchdog = watchdog
        self.save_waited = exporter.save_waited
        self.uploaded = exporter.uploaded
        self.save_failed = exporter.save_failed
        self._images_seen = images_seen
        self._reported = 0.0
        self._stepped = False
        self._steps_before = 0.0
        self._stop = threading.Event()
        self._log = MetricsLog(store, images_seen) if rank() == 0 else None
        if rank() == 0:
            past: Summary = ray.get(directory.group_resumed.remote(images_seen))
            counts = {str(reason): past.restarts.get(reason, 0) for reason in REASONS}
            exporter.restarted(counts, past.lost_images)
        threading.Thread(target=self._wait_for_request, daemon=True).start()
        threading.Thread(target=self._pass_on_sigterm, args=(rank(),), daemon=True).start()

    @contextmanager
    def timed(self, state: TimeState) -> Iterator[None]:
        with self._watchdog.watching(state), self._exporter.timed(state):
            yield
        if state == "data" and not self._stepped:
            own_start.end_phase("first batch")

    def stepped(self, images: int, *, applied: bool) -> None:
        if not self._stepped:
            self._stepped = True
            own_start.end_phase("first step")
            if rank() == 0:
                self._directory.group_started.remote(own_start.phases.seconds)
        self._exporter.stepped(images // world_size(), applied=applied)
        self._images_seen += images
        if rank() == 0 and time.monotonic() - self._reported >= REPORT_EVERY_S:
            self._directory.report.remote(self._progress())
            self._reported = time.monotonic()

    def logged(self, row: Row, session: Session) -> None:
        self._exporter.logged(row, session)
        if self._log is not None:
            self._log.append(row)
            self._directory.report.remote(row)

    def committed(self, images_seen: int) -> None:
        self._exporter.committed(images_seen)
        self._directory.group_committed.remote(images_seen)

    def went_back(self, images_seen: int, restored: int) -> None:
        self._images_seen = restored
        self._steps_before = self._exporter.steps_seconds  # later steps belong to a new record
        if self._log is None:
            return
        self._log = MetricsLog(self._store, restored)
        self._exporter.restarted({"divergence": 1}, images_seen - restored)
        ray.get(self._directory.group_went_back.remote(images_seen, restored))

    def stop_requested(self) -> bool:
        return self._stop.is_set()

    def flush(self) -> None:
        if self._log is not None:
            self._log.flush()

    def finish(self, *, done: bool) -> None:
        """Call after the loop. Raises `Restart` if the group saved to let a new group start."""
        self.flush()
        if rank() == 0:
            ray.get(self._directory.report.remote(self._progress()))
        purpose, _ = ray.get(self._directory.requested_save.remote())
        if not done and purpose != "stop":
            raise Restart(purpose)

    def _progress(self) -> dict[str, float]:
        spent = self._exporter.steps_seconds - self._steps_before
        return {"images_seen": self._images_seen, "steps_seconds": spent}

    def _wait_for_request(self) -> None:
        try:
            ray.get(self._directory.wait_for_request.remote())
        except ray.exceptions.RayError:
            return  # the driver has ended, and this worker will end, too
        self._stop.set()

    def _pass_on_sigterm(self, rank: int) -> None:
        sigterm_received.wait()
        self._directory.request_save.remote("preemption", f"rank {rank} got SIGTERM")
