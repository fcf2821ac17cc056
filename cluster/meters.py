"""Every metric of a worker: where it is declared, and so where it gets its name.

Counters are per rank and sum to the run's total. Gauges that are equal on all ranks are exported by
rank 0 alone, so that a query sees each once.
"""

from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from ganinv.loop import TimeState
from ganinv.statistics import describe

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


# Which part of a histogram a query may name.
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
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
