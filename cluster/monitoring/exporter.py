"""Fills the metrics of one worker from training events, and serves them to Prometheus."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from cluster.monitoring.meters import QUANTILES, HistogramOf, Meters
from ganinv.declarations import Statistic
from ganinv.evaluation.figures import PREFIX
from ganinv.training.loop import Row, TimeState
from ganinv.training.session import Session
from ganinv.training.statistics import SCHEDULE

# The states of a training step. Goodput is their share of the time, as in `rules.yml`.
STEP_STATES: tuple[TimeState, ...] = ("compute", "communicate")
PAUSES: tuple[TimeState, ...] = ("checkpoint", "evaluate", "compile")  # training waits for these


class _BeforeEachScrape(Collector):
    """Exports nothing. Registered first, it updates the time counters before each scrape."""

    def __init__(self, refresh: Callable[[], None]) -> None:
        self._refresh = refresh

    def collect(self) -> Iterable[Family]:
        self._refresh()
        return ()


class Exporter:
    """Implements the metrics part of `ganinv.training.loop.Observer`; serves HTTP until `close`."""

    def __init__(
        self, run: str, rank: int, world: int, host: str, statistics: Iterable[Statistic]
    ) -> None:
        """`statistics`: those of the run's method, means and others."""
        registry = CollectorRegistry()
        registry.register(_BeforeEachScrape(self._count_time))
        self.meters = Meters(run=run, rank=rank, registry=registry)
        if rank == 0:
            self.meters.add_run_wide(statistics)
            self.meters.world().set(world)
        self._is_rank_0 = rank == 0
        self._histograms: dict[TimeState, HistogramOf] = {
            "compute": self.meters.step_seconds,
            "data": self.meters.wait_seconds,
            "communicate": self.meters.reduce_seconds,
        }
        if rank == 0:
            self._histograms["checkpoint"] = self.meters.stall_seconds
        self._state: TimeState = "restart"  # until training begins: networks, checkpoint
        self.steps_seconds = 0.0  # spent in training steps
        self._since = time.perf_counter()
        self._time_lock = threading.Lock()  # scrapes update the time too
        self._server, self._thread = start_http_server(0, addr=host, registry=self.meters.registry)
        self.address = f"{host}:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @contextmanager
    def timed(self, state: TimeState) -> Iterator[None]:
        histogram = self._histograms.get(state)
        started = time.perf_counter()
        outer = self.enter(state)
        try:
            yield
        finally:
            self.enter(outer)
            if histogram is not None:
                histogram().observe(time.perf_counter() - started)
            if state in PAUSES and self._is_rank_0:
                self.meters.last_pause().set_to_current_time()

    def enter(self, state: TimeState) -> TimeState:
        """Count time toward `state` from now on; returns the previous state.

        Time in a nested state does not count toward the outer state, so that the states sum to the
        wall time.
        """
        with self._time_lock:
            previous = self._count_time_until(time.perf_counter())
            self._state = state
        return previous

    def _count_time(self) -> None:
        """Runs before each scrape: a worker that hangs never leaves its state, but time passes."""
        with self._time_lock:
            self._count_time_until(time.perf_counter())

    def _count_time_until(self, now: float) -> TimeState:
        self.meters.time(self._state).inc(now - self._since)
        if self._state in STEP_STATES:
            self.steps_seconds += now - self._since
        self._since = now
        return self._state

    def stepped(self, share: int, *, applied: bool) -> None:
        """`share`: this worker's images of the global batch. `applied`: it was not skipped."""
        self.meters.images().inc(share)
        self.meters.steps().inc()
        self.meters.last_step().set_to_current_time()
        if not applied:
            self.meters.nonfinite().inc()

    def logged(self, row: Row, session: Session) -> None:
        if not self._is_rank_0:
            return
        meters = self.meters
        meters.seen().set(row["images_seen"])
        meters.elements().set(session.objective.latent.size)
        for key, value in row.items():
            if key.startswith("loss/"):
                meters.loss(key.removeprefix("loss/")).set(value)
            elif key.startswith(PREFIX):
                meters.evaluation(key.removeprefix(PREFIX)).set(value)
            elif key.startswith(SCHEDULE):
                meters.schedule(key.removeprefix(SCHEDULE)).set(value)
            elif key in meters.gauges:
                meters.gauges[key]().set(value)
        for trace, spectrum in session.objective.spectra(session.state_on_host()).items():
            points = torch.tensor(QUANTILES, dtype=spectrum.variance_L.dtype)
            values = torch.quantile(spectrum.variance_L, points).tolist()
            for quantile, value in zip(QUANTILES, values, strict=True):
                meters.variance(trace, quantile).set(value)

    def planned(self, images: int, checkpoint_every: int) -> None:
        """`images`: total of the run; `checkpoint_every`: images between checkpoints."""
        if self._is_rank_0:
            self.meters.target().set(images)
            self.meters.checkpoint_every().set(checkpoint_every)

    def committed(self, images_seen: int) -> None:
        if self._is_rank_0:
            self.meters.checkpoint_images().set(images_seen)
            self.meters.checkpoint_time().set(time.time())

    def save_waited(self, seconds: float) -> None:
        """A save waited for the previous one. Like all events of saves, on rank 0 only."""
        self.meters.save_wait().inc(seconds)

    def uploaded(self, seconds: float) -> None:
        """Time from the snapshot in host memory to the commit."""
        self.meters.upload_seconds().observe(seconds)

    def save_failed(self) -> None:
        """An attempt to save has failed, whether or not it is retried."""
        self.meters.save_failures().inc()

    def restarted(self, reasons: Mapping[str, int], lost_images: int) -> None:
        """Adds restarts, by reason, and the images that must be trained again."""
        if not self._is_rank_0:
            return
        for reason, count in reasons.items():
            self.meters.restarts(reason).inc(count)
        self.meters.lost().inc(lost_images)

    def requested(self, op: str, outcome: str, size_bytes: int) -> None:
        """One verb on storage; `outcome` is `ok` or the class of the error."""
        self.meters.requests(op, outcome).inc()
        if size_bytes:
            self.meters.bytes(op).inc(size_bytes)

    def repeated(self, kind: Literal["retry", "hedge"], op: str) -> None:
        """Counts a repeated request to storage; the metrics do not distinguish `op`."""
        del op
        counter = self.meters.retries if kind == "retry" else self.meters.hedges
        counter().inc()

    def quarantined(self) -> None:
        """This worker has found a corrupt sample."""
        self.meters.quarantined().inc()
