"""Everything that can be known to fail before a worker starts, said in one sentence each."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

import datasets
from cluster.storage.opening import open_store, probe
from datasets.building.build import build
from datasets.parallel import Progress
from datasets.shards.index import Index, check_sizes
from datasets.shards.shard import INDEX_NAME
from datasets.sources.base import BuildOptions, Inputs
from datasets.sources.find import find_source
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import joint_fingerprint
from ganinv.errors import ConfigError, StorageMissingError
from ganinv.seams.stores import Store
from ganinv.training.session import check_networks
from launch.evaluation.feature_networks import FeatureNetworks
from launch.options.schema import LEAST_SAMPLES, RunConfig
from launch.wiring.data_sets import open_data_sets
from launch.wiring.networks import build_networks, new_objective

CHECKOUT = Path(__file__).parents[2]
# What makes a run this run; everything else may change when it goes on.
IDENTITY = ("objective", "network", "start", "train.global_batch", "train.seed", "train.flip")


def check_packages() -> None:
    """Raises `ConfigError` if another package named `datasets` hides ours."""
    found = Path(datasets.__file__ or "").resolve()
    if not found.is_relative_to(CHECKOUT):
        raise ConfigError(
            f"the package 'datasets' was imported from {found}, not from this checkout; type "
            f"python -m launch … in {CHECKOUT}"
        )


def check_storage(config: RunConfig) -> Store:
    """The run's store, after a real write, conditional write, ranged read and delete."""
    store = open_store(config.storage.run, endpoint_url=config.storage.endpoint_url)
    probe(store)
    return store


def prepare_data(
    config: RunConfig, watching: Callable[[str], Progress], announce: Callable[[str], None]
) -> Index:
    """The index of the data set at `data.url`, built before if the recipe says how.

    Raises `DataError` where shards are missing, empty or truncated, or hold too few images.
    """
    store = open_store(config.data.url, endpoint_url=config.storage.endpoint_url)
    index = _load_or_build(config, store, watching, announce)
    check_sizes(index, store)
    # Raises if the networks cannot have this resolution, or the method needs others.
    built = build_networks(config, index, torch.device("meta"))
    check_networks(new_objective(config), built)
    return index


def check_evaluation(config: RunConfig, index: Index) -> None:
    """Raises `ConfigError` for a feature network that does not work, or nothing to compare with."""
    held_out = index.samples("test")
    if config.evaluate.takes_features and held_out < LEAST_SAMPLES:
        raise ConfigError(
            f"evaluate.features = {config.evaluate.features}: compares generated images with "
            f"held-out ones, at least {LEAST_SAMPLES}, and {config.data.url} has {held_out}; use a "
            "data set with a split 'test', or set evaluate.features=[]"
        )
    blank = torch.zeros(
        1, index.image_channels, index.resolution, index.resolution, dtype=torch.uint8
    )
    for features in FeatureNetworks(config.evaluate, blank.device).fixed:
        features.extract(blank)


def check_loading(config: RunConfig) -> str | None:
    """Open all data sets as workers will; the joint fingerprint of a mix, None if there is none.

    Raises `DataError` and `ConfigError` where they do not fit each other or the batch.
    """
    endpoint = config.storage.endpoint_url
    data_sets = open_data_sets(config.data, lambda url: open_store(url, endpoint_url=endpoint))
    for data_set in data_sets[1:]:
        check_sizes(data_set.index, data_set.store)
    batch = config.train.global_batch
    ShardBatches(data_sets, "train", seed=config.train.seed, global_batch=batch)
    return joint_fingerprint(data_sets, batch) if config.data.mix else None


def _load_or_build(
    config: RunConfig,
    store: Store,
    watching: Callable[[str], Progress],
    announce: Callable[[str], None],
) -> Index:
    data = config.data
    there = any(entry.name == INDEX_NAME for entry in store.list(INDEX_NAME))
    if there or not data.build or data.source is None:
        return Index.load(store)
    options = BuildOptions(images=data.images, resolution=data.resolution, seed=data.seed)
    announce(f"building the data set '{data.source}' at {data.url}")
    inputs = Inputs(
        open_store=partial(open_store, endpoint_url=config.storage.endpoint_url), watching=watching
    )
    source = find_source(data.source, options, inputs)
    return build(source, store, options, watching(f"{data.source} images"))


def check_same_run(
    store: Store, config: RunConfig, index: Index, mix_fingerprint: str | None = None
) -> list[str]:
    """Compare with the configuration that the run began with; returns what changed otherwise.

    Raises `ConfigError` where the run would go on as another one. An option that is newer than the
    run cannot have been chosen for it: it is named as changed, and no reason to refuse.
    """
    try:
        before = yaml.safe_load(store.read("config.yaml"))
    except StorageMissingError:
        return []
    then, now = dict(_leaves(before)), dict(_leaves(record(config, index, mix_fingerprint)))
    changed = {key for key in then.keys() | now.keys() if then.get(key) != now.get(key)}
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
    return [f"{key}: {then.get(key)!r} → {now.get(key)!r}" for key in sorted(changed)]


def record(config: RunConfig, index: Index, mix_fingerprint: str | None = None) -> dict[str, Any]:
    """What `config.yaml` beside a run holds. The schema has no place for credentials."""
    return {
        **config.resolved,
        "image_resolution": index.resolution,
        "data_fingerprint": index.fingerprint,
        "mix_fingerprint": mix_fingerprint,
    }


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found += _leaves(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found
