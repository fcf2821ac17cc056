"""What one worker tells Prometheus: the table of metrics (DESIGN §8) and the watcher that fills it.

Counters are per rank and sum to the run's total. Gauges that are equal on all ranks are exported by
rank 0 alone, so that a query sees each once.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from cluster.metrics_table import Declared
from ganinv.figures import PREFIX
from ganinv.loop import Row, TimeState
from ganinv.statistics import describe
from ganinv.training import Session

# Creation times are a series more for each counter and histogram, that nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library does not annotate it
# Bounds in seconds. Each is a series more for every rank, so that they are few.
STEP_SECONDS = (0.01, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10.0)
WAIT_SECONDS = (0.001, 0.01, 0.1, 1.0, 10.0)
STALL_SECONDS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
TIME_STATES: tuple[TimeState, ...] = (
    "compute", "data", "communicate", "checkpoint", "restart", "evaluate",
)  # fmt: skip
# Row of `metrics.jsonl` → gauge. Losses share a gauge, told apart by the label `term`, and so do
# figures of evaluations by `figure`: which there are depends on the feature networks of the run.
GAUGES = {
    "d/real": "discriminator_real",
    "d/fake": "discriminator_fake",
    "learning_rate": "learning_rate",
    "grad_norm/g": "generator_gradient_norm",
    "grad_norm/d": "discriminator_gradient_norm",
    "latent/entropy_nats": "latent_entropy_nats",
    "latent/active": "latent_active_elements",
    "latent/effective": "latent_effective_elements",
    "throughput/images_per_second": "images_per_second",
}


@dataclass
class Meters:
    """Every metric of a worker, in a registry of its own."""

    run: str
    rank: int
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    declared: list[Declared] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.images = self._counter("images", "Images trained by this worker")
        self.steps = self._counter("steps", "Optimizer steps, void ones included")
        self.nonfinite = self._counter("nonfinite_steps", "Steps left out: not finite")
        self.time = self._counter("time_seconds", "Time of this worker by what it did", "state")
        self.requests = self._counter(
            "storage_requests", "Verbs on object storage", "op", "outcome"
        )
        self.bytes = self._counter("storage_bytes", "Bytes moved to and from storage", "op")
        self.retries = self._counter("storage_retries", "Requests made again", "op")
        self.hedges = self._counter("storage_hedges", "Second requests beside stragglers", "op")
        self.quarantined = self._counter("samples_quarantined", "Damaged samples, replaced")
        self.step_seconds = self._histogram(
            "step_seconds", "One global batch, data wait left out", STEP_SECONDS
        )
        self.wait_seconds = self._histogram(
            "data_wait_seconds", "Wait for the next batch", WAIT_SECONDS
        )
        self.reduce_seconds = self._histogram(
            "all_reduce_seconds", "Sums over workers, our own", WAIT_SECONDS
        )
        self.last_step = self._gauge(
            "last_step_timestamp_seconds", "Unix time of the end of the last step", "rank"
        )
        self.gauges: dict[str, Gauge] = {}
        for state in TIME_STATES:
            self.time.labels(self.run, self.rank, state)

    def add_run_wide(self) -> None:
        """Metrics that rank 0 exports for the whole run."""
        self.stall_seconds = self._histogram(
            "checkpoint_stall_seconds", "Training stood still to save", STALL_SECONDS
        )
        self.restarts = self._counter("restarts", "Restarts of the worker group", "reason")
        self.lost = self._counter("lost_images", "Images trained again after a restart")
        self.loss = self._gauge("loss", "Mean loss since the last row", "term")
        self.evaluation = self._gauge(
            "evaluation", "Figure of the averaged weights, at the last evaluation", "figure"
        )
        self.gauges = {key: self._gauge(name, describe(key).help) for key, name in GAUGES.items()}
        self.variance = self._gauge(
            "latent_variance", "Quantiles of the traced variance v", "trace", "quantile"
        )
        self.elements = self._gauge("latent_elements", "Size of the latent code")
        self.seen = self._gauge("images_seen", "The clock of the run")
        self.target = self._gauge("target_images", "images_seen at which the run ends")
        self.checkpoint_every = self._gauge(
            "checkpoint_every_images", "Images from one checkpoint to the next, as planned"
        )
        self.world = self._gauge("world_size", "Workers")
        self.checkpoint_images = self._gauge("checkpoint_images", "images_seen of the newest")
        self.checkpoint_time = self._gauge(
            "checkpoint_timestamp_seconds", "Unix time of the newest; its age is time() minus this"
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        every = self._declare(f"{name}_total", "counter", text, "rank", *labels)
        counter = Counter(f"ganinv_{name}", text, every, registry=self.registry)
        if not labels:
            counter.labels(self.run, self.rank)
        return counter

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        every = self._declare(name, "gauge", text, *labels)
        return Gauge(f"ganinv_{name}", text, every, registry=self.registry)

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...]) -> Histogram:
        every = self._declare(name, "histogram", text, "rank")
        return Histogram(f"ganinv_{name}", text, every, registry=self.registry, buckets=bounds)

    def _declare(self, name: str, kind: str, text: str, *labels: str) -> tuple[str, ...]:
        row = Declared(name=f"ganinv_{name}", kind=kind, help=text, labels=("run", *labels))
        self.declared.append(row)
        return row.labels


class _BeforeEachScrape(Collector):
    """Exports nothing. Registered first, it lets the exporter bring its counters up to now."""

    def __init__(self, refresh: Callable[[], None]) -> None:
        self._refresh = refresh

    def collect(self) -> Iterable[Family]:
        self._refresh()
        return ()


class Exporter:
    """Member of `ganinv.loop.Observer`'s metrics half; serves them over HTTP until `close`."""

    def __init__(self, run: str, rank: int, world: int, host: str) -> None:
        registry = CollectorRegistry()
        registry.register(_BeforeEachScrape(self._count_time))
        self.meters = Meters(run=run, rank=rank, registry=registry)
        self._labels = (run, rank)
        self._run = run
        if rank == 0:
            self.meters.add_run_wide()
            self.meters.world.labels(run).set(world)
        self._is_first = rank == 0
        self._histograms: dict[TimeState, Histogram] = {
            "compute": self.meters.step_seconds,
            "data": self.meters.wait_seconds,
            "communicate": self.meters.reduce_seconds,
        }
        if rank == 0:
            self._histograms["checkpoint"] = self.meters.stall_seconds
        self._state: TimeState = "restart"  # until training begins: networks, checkpoint, engines
        self._since = time.perf_counter()
        self._counting = threading.Lock()  # scrapes count time too
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
                histogram.labels(*self._labels).observe(time.perf_counter() - started)

    def enter(self, state: TimeState) -> TimeState:
        """Count time toward `state` from now on; returns the state that was left.

        Time inside a nested state is not counted toward the outer one, so that the states sum to
        the wall time.
        """
        with self._counting:
            left = self._count_time_until(time.perf_counter())
            self._state = state
        return left

    def _count_time(self) -> None:
        """So that a state is seen while it lasts: a worker that hangs leaves none."""
        with self._counting:
            self._count_time_until(time.perf_counter())

    def _count_time_until(self, now: float) -> TimeState:
        self.meters.time.labels(*self._labels, self._state).inc(now - self._since)
        self._since = now
        return self._state

    def stepped(self, share: int, *, applied: bool) -> None:
        """`share`: images of the global batch that this worker trained."""
        self.meters.images.labels(*self._labels).inc(share)
        self.meters.steps.labels(*self._labels).inc()
        self.meters.last_step.labels(*self._labels).set_to_current_time()
        if not applied:
            self.meters.nonfinite.labels(*self._labels).inc()

    def logged(self, row: Row, session: Session) -> None:
        if not self._is_first:
            return
        meters = self.meters
        meters.seen.labels(self._run).set(row["images_seen"])
        meters.elements.labels(self._run).set(session.objective.scale(session.state).numel())
        for key, value in row.items():
            if key.startswith("loss/"):
                meters.loss.labels(self._run, key.removeprefix("loss/")).set(value)
            elif key.startswith(PREFIX):
                meters.evaluation.labels(self._run, key.removeprefix(PREFIX)).set(value)
            elif key in meters.gauges:
                meters.gauges[key].labels(self._run).set(value)
        for trace, variance_L in session.objective.variances(session.state).items():
            points = torch.tensor(QUANTILES, dtype=variance_L.dtype)
            values = torch.quantile(variance_L, points).tolist()
            for quantile, value in zip(QUANTILES, values, strict=True):
                meters.variance.labels(self._run, trace, quantile).set(value)

    def planned(self, images: int, checkpoint_every: int) -> None:
        """`images`: where the run ends; `checkpoint_every`: images between checkpoints."""
        if self._is_first:
            self.meters.target.labels(self._run).set(images)
            self.meters.checkpoint_every.labels(self._run).set(checkpoint_every)

    def committed(self, images_seen: int) -> None:
        if self._is_first:
            self.meters.checkpoint_images.labels(self._run).set(images_seen)
            self.meters.checkpoint_time.labels(self._run).set(time.time())

    def restarted(self, reasons: Mapping[str, int], lost_images: int) -> None:
        """What the run has been through before this group of workers."""
        if not self._is_first:
            return
        for reason, count in reasons.items():
            self.meters.restarts.labels(*self._labels, reason).inc(count)
        self.meters.lost.labels(*self._labels).inc(lost_images)

    def requested(self, op: str, outcome: str, size_bytes: int) -> None:
        """One verb on storage; `outcome` is ok or the class of the error."""
        self.meters.requests.labels(*self._labels, op, outcome).inc()
        if size_bytes:
            self.meters.bytes.labels(*self._labels, op).inc(size_bytes)

    def repeated(self, kind: Literal["retry", "hedge"], op: str) -> None:
        """A request to storage that was made besides the plain ones."""
        counter = self.meters.retries if kind == "retry" else self.meters.hedges
        counter.labels(*self._labels, op).inc()

    def quarantined(self) -> None:
        """A sample that this worker found damaged."""
        self.meters.quarantined.labels(*self._labels).inc()
