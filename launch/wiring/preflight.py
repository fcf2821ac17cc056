"""Checks before any worker starts: everything that can fail early fails here, in one sentence."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import yaml

import datasets
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
from ganinv.errors import ConfigError, StorageMissingError
from ganinv.seams.stores import Store
from ganinv.training.session import check_networks
from launch.evaluation.feature_networks import FeatureNetworks
from launch.evaluation.in_training import without_held_out
from launch.options.loading import default_options
from launch.options.schema import RunConfig
from launch.options.words import leaves
from launch.wiring.data_sets import open_data_sets
from launch.wiring.networks import build_networks, new_objective

CHECKOUT = Path(__file__).parents[2]
# These options identify a run. All others may change when the run resumes.
IDENTITY = ("objective", "network", "start", "train.global_batch", "train.seed", "train.flip")


def check_packages() -> None:
    """Raises `ConfigError` if another package named `datasets` was imported instead of ours."""
    found = Path(datasets.__file__ or "").resolve()
    if not found.is_relative_to(CHECKOUT):
        raise ConfigError(
            f"the package 'datasets' was imported from {found}, not from this checkout; use "
            f"{CHECKOUT}/.venv/bin/ganinv, or type python -m launch … in {CHECKOUT}"
        )


def check_storage(config: RunConfig) -> Store:
    """The run's store, after a real write, conditional write, ranged read and delete.

    Raises `StorageError` if the store does not support a run.
    """
    store = open_store(config.storage.run, endpoint_url=config.storage.endpoint_url)
    probe(store)
    return store


def prepare_data(
    config: RunConfig, watching: Callable[[str], Progress], announce: Callable[[str], None]
) -> list[DataSet]:
    """The data set at `data.url`, then those of `data.mix`; each index is loaded once.

    Builds the first data set if nothing is there and the recipe names a source. Raises `DataError`
    for missing, empty or truncated shards and for data sets that do not fit together, and
    `ConfigError` if the networks cannot have the resolution of the images, or the method lacks one.
    """
    # Opens one store for each URL.
    open_at = cache(partial(open_store, endpoint_url=config.storage.endpoint_url))
    _build_if_missing(config, open_at, watching, announce)
    data_sets = open_data_sets(config.data, open_at)
    for data_set in data_sets:
        check_sizes(data_set.index, data_set.origin or data_set.store)
    index = data_sets[0].index
    built = build_networks(config, index, torch.device("meta"))  # no memory is allocated
    check_networks(new_objective(config), built)
    return data_sets


def check_evaluation(config: RunConfig, index: Index) -> str | None:
    """What evaluations leave out for lack of held-out images, if anything.

    Raises `ConfigError` for an unusable feature network.
    """
    blank = torch.zeros(
        1, index.image_channels, index.resolution, index.resolution, dtype=torch.uint8
    )
    for features in FeatureNetworks(config.evaluate, blank.device).fixed:
        features.extract(blank)
    return without_held_out(config.data.url, index.samples("test"))


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
) -> None:
    data, store = config.data, open_at(config.data.url)
    exists = any(entry.name == INDEX_NAME for entry in store.list(INDEX_NAME))
    if exists or not data.build or data.source is None:
        return
    check_room(store)  # before anything is announced
    options = BuildOptions(images=data.images, resolution=data.resolution, seed=data.seed)
    announce(f"building the data set '{data.source}' at {data.url}")
    source = find_source(data.source, options, Inputs(open_store=open_at, show_progress=watching))
    build(source, store, options, watching(f"{data.source} images"), announce)
    if line := BuildReport.load(store).closing_line:
        announce(line)


def check_same_run(
    store: Store, config: RunConfig, index: Index, mix_fingerprint: str | None = None
) -> list[str]:
    """Compares with the `config.yaml` of the run; returns one sentence for each permitted change.

    Raises `ConfigError` if an option of `IDENTITY` or the data changed. An option that is newer
    than the run cannot have been chosen for it, so it is never a reason to refuse.
    """
    try:
        before = yaml.safe_load(store.read("config.yaml"))
    except StorageMissingError:
        return []
    then, now = dict(leaves(before)), dict(leaves(record(config, index, mix_fingerprint)))
    # An option that is newer than the run had the effect of its default.
    effective = dict(leaves(default_options(config))) | then
    changed = {key for key in then.keys() | now.keys() if effective.get(key) != now.get(key)}
    forbidden = sorted(
        key
        for key in changed & (then.keys() | {"mix_fingerprint"})
        if key in ("data_fingerprint", "mix_fingerprint")
        or any(key == i or key.startswith(f"{i}.") for i in IDENTITY)
    )
    if forbidden:
        lines = [
            f"{key} = {now.get(key)!r}: the run began with {then.get(key)!r}" for key in forbidden
        ]
        raise ConfigError(
            "\n".join(lines) + f"\nkeep what the run at {store.url} began with, or choose another "
            "storage.run"
        )
    return [f"{key}: {effective.get(key)!r} → {now.get(key)!r}" for key in sorted(changed)]


def record(config: RunConfig, index: Index, mix_fingerprint: str | None = None) -> dict[str, Any]:
    """The content of the run's `config.yaml`. The schema has no place for credentials."""
    return {
        **config.resolved,
        "image_resolution": index.resolution,
        "data_fingerprint": index.fingerprint,
        "mix_fingerprint": mix_fingerprint,
    }
