"""Every metric of a worker: where it is specs, and so where it gets its name.

What a worker counts of itself has the label `rank`, and sums to the run's total. What the run has
as a whole is exported by rank 0 alone and has no rank, so that a query sees it once, whichever
worker has rank 0. So the series of a rank are as few on rank 0 as elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from ganinv.training.loop import TimeState
from ganinv.training.statistics import describe

# Creation times are a series more for each counter and histogram, that nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library does not annotate it
# Bounds in seconds. Each is a series more for every rank, so that they are few.
STEP_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 2.0, 10.0)
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


# Which part of a histogram a query may name.
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSpec:
    """One metric: its name in queries, kind (counter, gauge, histogram), meaning and labels."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]

    @property
    def unit(self) -> str:
        """The base unit, by Prometheus' rule of names; empty for a pure number."""
        words = self.name.removeprefix("ganinv_").removesuffix("_total").split("_")
        known = ("seconds", "bytes", "images", "nats", "elements", "steps")
        if words[-2:] == ["per", "second"]:
            return f"{words[-3]}/s"
        return next((word for word in reversed(words) if word in known), "")

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which Prometheus stores it."""
        if self.kind != "histogram":
            return (self.name,)
        return tuple(self.name + part for part in HISTOGRAM_PARTS)


# A metric, but for the labels that this worker gives to all of its series: called with the others.
CounterOf = Callable[..., Counter]
GaugeOf = Callable[..., Gauge]
HistogramOf = Callable[..., Histogram]


@dataclass
class Meters:
    """Every metric of a worker, in a registry of its own: `meters.time("data").inc(0.1)`."""

    run: str
    rank: int
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    specs: list[MetricSpec] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.images = self._counter("images", "Images trained by this worker", "rank")
        self.steps = self._counter("steps", "Optimizer steps, void ones included", "rank")
        self.nonfinite = self._counter("nonfinite_steps", "Steps left out: not finite", "rank")
        self.time = self._counter(
            "time_seconds", "Time of this worker by what it did", "rank", "state"
        )
        self.requests = self._counter(
            "storage_requests", "Verbs on object storage", "rank", "op", "outcome"
        )
        self.bytes = self._counter("storage_bytes", "Bytes moved to and from storage", "rank", "op")
        self.retries = self._counter("storage_retries", "Requests made again", "rank")
        self.hedges = self._counter("storage_hedges", "Second requests beside stragglers", "rank")
        self.quarantined = self._counter("samples_quarantined", "Damaged samples, replaced", "rank")
        self.step_seconds = self._histogram(
            "step_seconds", "One global batch, data wait left out", STEP_SECONDS, "rank"
        )
        self.wait_seconds = self._histogram(
            "data_wait_seconds", "Wait for the next batch", WAIT_SECONDS, "rank"
        )
        self.reduce_seconds = self._histogram(
            "all_reduce_seconds", "Sums over workers, our own", WAIT_SECONDS, "rank"
        )
        self.last_step = self._gauge(
            "last_step_timestamp_seconds", "Unix time of the end of the last step", "rank"
        )
        self.gauges: dict[str, GaugeOf] = {}
        for state in TIME_STATES:
            self.time(state)

    def add_run_wide(self) -> None:
        """Metrics that rank 0 exports for the whole run."""
        self.stall_seconds = self._histogram(
            "checkpoint_stall_seconds", "Training stood still to save", STALL_SECONDS
        )
        self.upload_seconds = self._histogram(
            "checkpoint_upload_seconds", "From the copy in memory to the commit", STALL_SECONDS
        )
        self.save_wait = self._counter(
            "checkpoint_wait_seconds", "Part of the stall: the save before was still under way"
        )
        self.save_failures = self._counter(
            "checkpoint_failures", "Attempts to save that failed; each is tried again"
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

    def _counter(self, name: str, text: str, *labels: str) -> CounterOf:
        every = self._declare(f"{name}_total", "counter", text, *labels)
        counter = Counter(f"ganinv_{name}", text, every, registry=self.registry)
        own = partial(counter.labels, *self._values(labels))
        if set(labels) <= {"rank"}:
            own()  # so that it is seen at 0
        return own

    def _gauge(self, name: str, text: str, *labels: str) -> GaugeOf:
        every = self._declare(name, "gauge", text, *labels)
        gauge = Gauge(f"ganinv_{name}", text, every, registry=self.registry)
        return partial(gauge.labels, *self._values(labels))

    def _histogram(
        self, name: str, text: str, bounds: tuple[float, ...], *labels: str
    ) -> HistogramOf:
        every = self._declare(name, "histogram", text, *labels)
        histogram = Histogram(f"ganinv_{name}", text, every, registry=self.registry, buckets=bounds)
        return partial(histogram.labels, *self._values(labels))

    def _values(self, labels: tuple[str, ...]) -> tuple[str | int, ...]:
        """Those labels that this worker gives to all series of a metric."""
        return (self.run, self.rank) if "rank" in labels else (self.run,)

    def _declare(self, name: str, kind: str, text: str, *labels: str) -> tuple[str, ...]:
        row = MetricSpec(name=f"ganinv_{name}", kind=kind, help=text, labels=("run", *labels))
        self.specs.append(row)
        return row.labels
