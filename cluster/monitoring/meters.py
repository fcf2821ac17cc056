"""All metrics of a worker. Each is declared here, once, with its name, kind, help and labels.

A metric that every worker counts has the label `rank`; the sum over ranks is the run's total. A
metric of the whole run is exported by rank 0 alone and has no label `rank`, so that a query finds
one series, whichever worker has rank 0. Every rank therefore has equally few series.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from ganinv.declarations import Statistic

if TYPE_CHECKING:  # the directory imports this module, and must start without torch
    from ganinv.training.loop import TimeState

# Creation times would add one series per counter and histogram, which nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library does not annotate it
# Bucket bounds in seconds. They are few, because each adds one series per rank.
STEP_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 2.0, 10.0)
WAIT_SECONDS = (0.001, 0.01, 0.1, 1.0, 10.0)
STALL_SECONDS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
# States that every run has; a run that compiles has `compile` besides.
TIME_STATES: tuple["TimeState", ...] = (
    "compute", "data", "communicate", "checkpoint", "restart", "evaluate",
)  # fmt: skip
# Suffixes of a histogram's series.
HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSpec:
    """One metric: its name in queries, kind (counter, gauge, histogram), help text and labels."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]

    @property
    def unit(self) -> str:
        """The base unit, by Prometheus' naming rules; empty for a pure number."""
        words = self.name.removeprefix("ganinv_").removesuffix("_total").split("_")
        known = ("seconds", "bytes", "images", "nats", "elements", "steps")
        if words[-2:] == ["per", "second"]:
            return f"{words[-3]}/s"
        return next((word for word in reversed(words) if word in known), "")

    @property
    def series(self) -> tuple[str, ...]:
        """The names of its series in Prometheus."""
        if self.kind != "histogram":
            return (self.name,)
        return tuple(self.name + suffix for suffix in HISTOGRAM_SUFFIXES)


# A metric of one worker. Calls pass the remaining label values: `run` and `rank` are set already.
CounterOf = Callable[..., Counter]
GaugeOf = Callable[..., Gauge]
HistogramOf = Callable[..., Histogram]


@dataclass
class Meters:
    """All metrics of one worker in their own registry: `meters.time("data").inc(0.1)`."""

    run: str
    rank: int
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    specs: list[MetricSpec] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.images = self._counter("images", "Images trained by this worker", "rank")
        self.steps = self._counter("steps", "Optimizer steps, including skipped ones", "rank")
        self.nonfinite = self._counter(
            "nonfinite_steps", "Steps skipped for non-finite values", "rank"
        )
        self.time = self._counter("time_seconds", "Time of this worker by state", "rank", "state")
        self.requests = self._counter(
            "storage_requests", "Requests to object storage", "rank", "op", "outcome"
        )
        self.bytes = self._counter("storage_bytes", "Bytes moved to and from storage", "rank", "op")
        self.retries = self._counter("storage_retries", "Requests retried after a failure", "rank")
        self.hedges = self._counter("storage_hedges", "Second requests beside slow ones", "rank")
        self.quarantined = self._counter("samples_quarantined", "Corrupt samples, replaced", "rank")
        self.step_seconds = self._histogram(
            "step_seconds", "One global batch, without the data wait", STEP_SECONDS, "rank"
        )
        self.wait_seconds = self._histogram(
            "data_wait_seconds", "Wait for the next batch", WAIT_SECONDS, "rank"
        )
        self.reduce_seconds = self._histogram(
            "all_reduce_seconds", "All-reduces outside of the engines", WAIT_SECONDS, "rank"
        )
        self.last_step = self._gauge(
            "last_step_timestamp_seconds", "Unix time of the end of the last step", "rank"
        )
        self.gauges: dict[str, GaugeOf] = {}
        for state in TIME_STATES:
            self.time(state)

    def add_run_wide(self, statistics: Iterable[Statistic]) -> None:
        """Metrics that rank 0 exports for the whole run.

        `statistics` of the run's method have gauges of their own if they name one. Losses share a
        gauge, told apart by the label `term`, and so do figures of evaluations by `figure`, and
        scheduled options by `option`: which there are depends on the run.
        """
        self.stall_seconds = self._histogram(
            "checkpoint_stall_seconds", "Training stopped for a save", STALL_SECONDS
        )
        self.upload_seconds = self._histogram(
            "checkpoint_upload_seconds", "From the snapshot in memory to the commit", STALL_SECONDS
        )
        self.save_wait = self._counter(
            "checkpoint_wait_seconds", "Part of the stall: the previous save was still running"
        )
        self.save_failures = self._counter(
            "checkpoint_failures", "Failed attempts to save; each is retried"
        )
        self.restarts = self._counter("restarts", "Restarts of the worker group", "reason")
        self.lost = self._counter("lost_images", "Images trained again after a restart")
        self.last_pause = self._gauge(
            "last_pause_timestamp_seconds", "Unix time of the end of the last save or evaluation"
        )
        self.loss = self._gauge("loss", "Mean loss since the last row", "term")
        self.evaluation = self._gauge(
            "evaluation", "Figure of the averaged weights in the last evaluation", "figure"
        )
        self.gauges = {s.name: self._gauge(s.gauge, s.help) for s in statistics if s.gauge}
        self.schedule = self._gauge("schedule", "Scheduled option at the last step", "option")
        self.variance = self._gauge(
            "latent_variance", "Quantiles of the traced variance v", "trace", "quantile"
        )
        self.elements = self._gauge("latent_elements", "Size of the latent code")
        self.seen = self._gauge("images_seen", "The clock of the run: images trained")
        self.target = self._gauge("target_images", "images_seen at which the run ends")
        self.checkpoint_every = self._gauge(
            "checkpoint_every_images", "Planned images between checkpoints"
        )
        self.world = self._gauge("world_size", "Workers in the group")
        self.checkpoint_images = self._gauge(
            "checkpoint_images", "images_seen of the newest checkpoint"
        )
        self.checkpoint_time = self._gauge(
            "checkpoint_timestamp_seconds",
            "Unix time of the newest checkpoint",
        )

    def _counter(self, name: str, text: str, *labels: str) -> CounterOf:
        names = self._declare(f"{name}_total", "counter", text, *labels)
        counter = Counter(f"ganinv_{name}", text, names, registry=self.registry)
        own = partial(counter.labels, *self._values(labels))
        if set(labels) <= {"rank"}:
            own()  # so that the series exists from 0 on
        return own

    def _gauge(self, name: str, text: str, *labels: str) -> GaugeOf:
        names = self._declare(name, "gauge", text, *labels)
        gauge = Gauge(f"ganinv_{name}", text, names, registry=self.registry)
        return partial(gauge.labels, *self._values(labels))

    def _histogram(
        self, name: str, text: str, bounds: tuple[float, ...], *labels: str
    ) -> HistogramOf:
        names = self._declare(name, "histogram", text, *labels)
        histogram = Histogram(f"ganinv_{name}", text, names, registry=self.registry, buckets=bounds)
        return partial(histogram.labels, *self._values(labels))

    def _values(self, labels: tuple[str, ...]) -> tuple[str | int, ...]:
        """The values of the labels that are equal for all series of this worker."""
        return (self.run, self.rank) if "rank" in labels else (self.run,)

    def _declare(self, name: str, kind: str, text: str, *labels: str) -> tuple[str, ...]:
        spec = MetricSpec(name=f"ganinv_{name}", kind=kind, help=text, labels=("run", *labels))
        self.specs.append(spec)
        return spec.labels
