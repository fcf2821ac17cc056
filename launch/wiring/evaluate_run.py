"""Evaluates a trained run, in this process or on a group of workers."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import ray
import torch
from rich.console import Console
from rich.progress import Progress, track

from cluster.collectives import all_reduce_sum, gather_objects, rank, world_size
from cluster.config import ClusterConfig, MetricsConfig
from cluster.run_folder.corrupt_samples import RunQuarantine
from cluster.storage.opening import open_store
from cluster.workers.group import WorkerGroup
from datasets.shards.index import Index
from datasets.shards.quarantine import RecordBadSample
from ganinv.errors import ConfigError, StorageError
from ganinv.evaluation.evaluator import Evaluator, Share, Watch
from ganinv.model import best_device
from ganinv.precision import use_kernels_of
from ganinv.seams.batches import BadSample
from ganinv.seams.stores import Store
from launch.evaluation.feature_networks import FeatureNetworks
from launch.evaluation.further import further_figures
from launch.evaluation.in_training import conditions, held_out_images
from launch.evaluation.trained import Trained, load_trained, open_data
from launch.options.places import NOT_MOVED, DataPlace, StorageConfig
from launch.options.schema import LEAST_SAMPLES, FigureOptions
from launch.wiring.watching import run_worker, worker_device

log = logging.getLogger(__name__)
POLL_S = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateOptions(FigureOptions):
    """Options of `ganinv evaluate`: images, checkpoint, and whether the run keeps the result."""

    samples: int = 10_000  # held-out images, at most, and the same number of generated images
    checkpoint: str | None = None  # its name; None: the newest
    record: bool = True  # keep the result in the run's folder evaluations/

    def __post_init__(self) -> None:
        FigureOptions.__post_init__(self)
        if self.samples < LEAST_SAMPLES:
            raise ConfigError(f"samples = {self.samples}: must be at least {LEAST_SAMPLES}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluated:
    """`conditions`: everything that the figures depend on. `taken`: place and number of workers."""

    conditions: dict[str, Any]
    figures: dict[str, float]
    taken: dict[str, Any]


def evaluate_here(
    storage: StorageConfig,
    options: EvaluateOptions,
    screen: Console,
    place: DataPlace = NOT_MOVED,
) -> Evaluated:
    """Evaluate in this process, on a GPU if there is one.

    `place`: where the run's data set lies now. Raises `StorageError` or `DataError` if the run or
    its data set cannot be used, and `ConfigError` if a feature network cannot be used.
    """

    def watch(batches: Iterable[range], title: str) -> Iterable[range]:
        return track(list(batches), title, console=screen, disable=not screen.is_terminal)

    return _evaluate(storage, place, options, best_device(), watch)


def evaluate_over_workers(
    storage: StorageConfig,
    options: EvaluateOptions,
    cluster: ClusterConfig,
    screen: Console,
    place: DataPlace,
) -> Evaluated:
    """The same on a group of workers. Raises the same errors, and `ClusterError`."""
    run = open_store(storage.run, endpoint_url=storage.endpoint_url)
    _opened(run, storage, place, options)  # what is missing is missed before workers start
    payload = {"storage": storage, "place": place, "options": options, "cluster": cluster}
    with closing(WorkerGroup(storage.run, cluster, MetricsConfig())) as group:
        group.start(evaluate_worker, payload)
        with Progress(console=screen, disable=not screen.is_terminal) as bars:
            task = bars.add_task("starting workers", total=None)
            while (outcome := group.wait(POLL_S)) is None:
                seen = group.progress()
                bars.update(
                    task,
                    description=seen.get("title", "starting workers"),
                    completed=seen.get("done", 0),
                    total=seen.get("batches"),
                )
                for line in group.take_messages():
                    screen.print(line, markup=False)
        for line in group.take_messages():
            screen.print(line, markup=False)
        if outcome.error is not None:
            raise outcome.error
        found: Evaluated = group.progress()["evaluated"]
        return found


def evaluate_worker(payload: dict[str, Any]) -> None:
    """Ray Train's function; rank 0 reports the result to the directory."""
    directory, cluster = payload["directory"], payload["cluster"]

    def watch(batches: Iterable[range], title: str) -> Iterator[range]:
        dealt = list(batches)
        for done, numbers in enumerate(dealt):
            if rank() == 0:
                seen = {"images_seen": 0, "title": title, "done": done, "batches": len(dealt)}
                directory.report.remote(seen)
            yield numbers

    def work() -> None:
        device = worker_device(cluster)
        found = _evaluate(payload["storage"], payload["place"], payload["options"], device, watch)
        if rank() == 0:
            ray.get(directory.report.remote({"images_seen": 0, "evaluated": found}))

    run_worker(directory, cluster, work)


def _evaluate(
    storage: StorageConfig,
    place: DataPlace,
    options: EvaluateOptions,
    device: torch.device,
    watch: Watch,
) -> Evaluated:
    """All ranks call this together; each returns the same figures."""
    use_kernels_of("fp32", device)
    run = open_store(storage.run, endpoint_url=storage.endpoint_url)
    trained, data, index = _opened(run, storage, place, options)
    _check_same_checkpoint(storage, trained)
    model = trained.model.to(device)
    record = _recording(run, data.url) if options.record else None
    held_out = held_out_images(data, index, options.samples, trained.config.data, record)
    networks = FeatureNetworks(options, device).of(model, trained.manifest.name)
    evaluator = Evaluator(
        held_out,
        # As many as there are held-out images, for comparisons with them.
        generated=held_out.count if held_out.count >= LEAST_SAMPLES else options.samples,
        seed=options.seed,
        share=Share(rank=rank(), world=world_size()),
        reduce=all_reduce_sum,
        watch=watch,
        further=further_figures(options, device),
    )
    figures = evaluator.figures(model, networks)
    return Evaluated(
        conditions=conditions(
            index,
            networks,
            evaluator,
            images_seen=trained.manifest.images_seen,
            checkpoint=trained.manifest.name,
        ),
        figures=trained.objective.figures(trained.state) | figures,
        taken={
            "storage.run": storage.run,
            "data.url": trained.config.data.url,
            "device": device.type,
            "workers": world_size(),
        },
    )


def _opened(
    run: Store, storage: StorageConfig, place: DataPlace, options: EvaluateOptions
) -> tuple[Trained, Store, Index]:
    """The checkpoint and its data set. Raises as `load_trained` and `open_data`."""
    trained = load_trained(run, options.checkpoint, place)
    data, index = open_data(trained, storage.endpoint_url)
    return trained, data, index


def _recording(run: Store, data_url: str) -> RecordBadSample:
    """Records corrupt held-out images in the run's folder, which may be read-only."""
    kept, seen = RunQuarantine(run, {data_url}), list[BadSample]()

    def record(sample: BadSample) -> Sequence[BadSample]:
        seen.append(sample)
        try:
            return kept.record(sample)
        except StorageError as error:
            log.warning("%s is not recorded as corrupt: %s", sample.key, error)
            return seen

    return record


def _check_same_checkpoint(storage: StorageConfig, trained: Trained) -> None:
    """Raises `StorageError` if a run in training committed a checkpoint between workers' reads."""
    names = sorted(set(gather_objects(trained.manifest.name)))
    if len(names) > 1:
        raise StorageError(
            f"{storage.run}: workers found different checkpoints ({', '.join(names)}), because "
            "the run is still training; evaluate again"
        )
