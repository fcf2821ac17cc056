"""Checks before any worker starts: everything that can fail early fails here, in one sentence."""

from collections.abc import Callable
from functools import cache, partial

import torch

from cluster.jobs.ray_environment import cluster_address
from cluster.run_folder.metrics_log import rows_to_continue
from cluster.run_folder.options_record import Record
from cluster.storage.opening import open_store, probe
from datasets.building.build import build
from datasets.building.report import BuildReport
from datasets.parallel import Progress
from datasets.shards.index import Index, check_sizes
from datasets.shards.location import check_room
from datasets.shards.shard import INDEX_NAME
from datasets.sources.base import BuildOptions, Inputs
from datasets.sources.find import find_source
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet, joint_fingerprint
from ganinv.augmentation.options import AugmentConfig
from ganinv.errors import ConfigError
from ganinv.kinds.kind import DEEP
from ganinv.kinds.png import need_deep
from ganinv.networks.recomputing import recompute_finest
from ganinv.precision import DETERMINISTIC, check_precision
from ganinv.seams.stores import Store
from ganinv.training.session import check_networks
from launch.evaluation.feature_networks import FeatureNetworks
from launch.evaluation.further import further_figures
from launch.evaluation.in_training import without_held_out
from launch.options.schema import RunConfig
from launch.wiring.acceleration import check_acceleration, check_same_steps
from launch.wiring.data_sets import open_data_sets
from launch.wiring.networks import build_networks, check_resolution, new_objective
from launch.wiring.same_run import check_may_build


def check_units(config: RunConfig) -> None:
    """Raises `ConfigError` if this machine trains and lacks the units for `train.precision`, or
    what `train.compile` and `train.cuda_graphs` need, or if an option rules out
    `train.deterministic`.

    On a cluster, every worker checks its own node.
    """
    check_same_steps(config)
    _check_deterministic(config)
    if cluster_address() is None:
        device = torch.device("cuda" if config.cluster.use_gpu else "cpu")
        check_precision(config.train.precision, device)
        check_acceleration(config, device)


def _check_deterministic(config: RunConfig) -> None:
    if not (config.train.deterministic and config.cluster.use_gpu):
        return
    augment: AugmentConfig | None = getattr(config.objective, "augment", None)
    if augment is not None and augment.resamples:
        raise ConfigError(
            "train.deterministic = True: on GPUs, the gradient of transformations that move pixels "
            "(objective.augment.blit, objective.augment.geometry) has no fixed order of sums; set "
            "both to 0, give objective.augment.kind=none, or leave out train.deterministic"
        )


def worker_environment(config: RunConfig) -> dict[str, str]:
    """Variables that workers must have before they start. On processors, all sums are ordered."""
    return DETERMINISTIC if config.train.deterministic and config.cluster.use_gpu else {}


def check_storage(config: RunConfig) -> Store:
    """The run's store, after a real write, conditional write, ranged read and delete.

    Raises `StorageError` if the store does not support a run.
    """
    store = open_store(config.storage.run, endpoint_url=config.storage.endpoint_url)
    probe(store)
    return store


def prepare_data(
    config: RunConfig,
    watching: Callable[[str], Progress],
    announce: Callable[[str], None],
    began: Record | None = None,
) -> list[DataSet]:
    """The data set at `data.url`, then those of `data.mix`; each index is loaded once.

    Builds the first data set if nothing is there and the recipe names a source. A run that resumes
    (`began` is what it records) never builds another one than it began with. Raises `DataError` for
    missing, empty or truncated shards and for data sets that do not fit together, and `ConfigError`
    if the networks cannot have the resolution of the images, or the method lacks one.
    """
    # Opens one store for each URL.
    open_at = cache(partial(open_store, endpoint_url=config.storage.endpoint_url))
    _build_if_missing(config, open_at, watching, announce, began)
    data_sets = open_data_sets(config.data, open_at)
    for data_set in data_sets:
        check_sizes(data_set.index, data_set.origin or data_set.store)
    index = data_sets[0].index
    if index.kind.bits == DEEP:
        need_deep(f"data.url={config.data.url}, a data set of {DEEP} bits,")
    check_built(config, index)
    return data_sets


def check_built(config: RunConfig, index: Index) -> None:
    """Raises `ConfigError` if the networks cannot have the resolution of the images, or the method
    lacks one.
    """
    built = build_networks(config, index, torch.device("meta"))  # no memory is allocated
    check_networks(new_objective(config), built)
    for network in built.values():
        recompute_finest(network, config.train.recompute_blocks)


def check_evaluation(config: RunConfig, index: Index) -> str | None:
    """What evaluations leave out for lack of held-out images, if anything.

    Raises `ConfigError` for an unusable feature network or an unusable file of weights.
    """
    blank = torch.zeros(1, index.image_channels, index.height, index.width, dtype=torch.uint8)
    further_figures(config.evaluate, blank.device)
    for features in FeatureNetworks(config.evaluate, blank.device).fixed:
        features.extract(blank)
    return without_held_out(config.data.url, index.samples("test"))


def check_records(run: Store) -> None:
    """Raises `StorageContentError` if training cannot continue the run's `metrics.jsonl`."""
    rows_to_continue(run)


def check_loading(config: RunConfig, data_sets: list[DataSet]) -> str | None:
    """The joint fingerprint of a mix of data sets; None without a mix.

    Raises `DataError` and `ConfigError` if the data sets do not fit the batch.
    """
    batch = config.train.global_batch
    ShardBatches(data_sets, "train", seed=config.train.seed, global_batch=batch)
    return joint_fingerprint(data_sets, batch) if config.data.mix else None


def _build_if_missing(
    config: RunConfig,
    open_at: Callable[[str], Store],
    watching: Callable[[str], Progress],
    announce: Callable[[str], None],
    began: Record | None,
) -> None:
    data, store = config.data, open_at(config.data.url)
    exists = any(entry.name == INDEX_NAME for entry in store.list(INDEX_NAME))
    if exists or not data.build or data.source is None:
        return
    check_may_build(began, config)
    check_resolution(config)
    check_room(store)  # before anything is announced
    options = BuildOptions(
        images=data.images,
        resolution=data.resolution,
        channels=data.channels,
        bits=data.bits,
        seed=data.seed,
    )
    announce(f"building the data set '{data.source}' at {data.url}")
    source = find_source(data.source, options, Inputs(open_store=open_at, show_progress=watching))
    build(source, store, options, watching(f"{data.source} images"), announce)
    if line := BuildReport.load(store).closing_line:
        announce(line)
