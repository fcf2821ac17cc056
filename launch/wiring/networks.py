"""Builds the networks and the method of a run, and starts from another run's networks."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from cluster.run_folder.options_record import Record
from cluster.storage.opening import open_store
from datasets.shards.index import Index
from ganinv import networks, objectives
from ganinv.errors import ConfigError
from ganinv.objectives.base import Objective, networks_asked
from ganinv.saved.manifest import committed_names
from ganinv.saved.starting import Origin, load_start, newest_name, read_start
from ganinv.seams.stores import Store
from ganinv.sizes import Resolution
from launch.evaluation.perceptual import feature_network
from launch.options.schema import RunConfig


def with_start_checkpoint(config: RunConfig, began: Record | None) -> RunConfig:
    """The options with `start.checkpoint` set, so that a restart begins from the same weights.

    `began`, what the run records, decides if it has begun; otherwise the newest checkpoint of
    `start.run` does. Raises `ConfigError` if that run has no checkpoint.
    """
    start = config.start
    if start.run is None or start.checkpoint is not None:
        return config
    checkpoint = ((began or {}).get("start") or {}).get("checkpoint")
    if checkpoint is None:
        checkpoint = newest_name(open_store(start.run, endpoint_url=config.storage.endpoint_url))
    resolved = {**config.resolved, "start": {**config.resolved["start"], "checkpoint": checkpoint}}
    return replace(config, start=replace(start, checkpoint=checkpoint), resolved=resolved)


def check_start(config: RunConfig, run: Store, index: Index) -> None:
    """Load the other run's networks once, before a worker starts, unless this run has begun.

    Raises `StorageError` and `ConfigError` as `start_networks` does.
    """
    if config.start.run is not None and not committed_names(run):
        start_networks(config, build_networks(config, index, torch.device("cpu")))


def build_networks(config: RunConfig, index: Index, device: torch.device) -> dict[str, nn.Module]:
    """The networks that the method asks for, at their initial weights; on `meta` without weights.

    Also the networks of features that the method uses, with their weights. Raises `ConfigError` if
    the family lacks a network, or one of features cannot be loaded.
    """
    built = _build(config, index.resolution, index.image_channels, device)
    return built | loaded_features(new_objective(config), index.image_channels)


def check_resolution(config: RunConfig) -> None:
    """Raises `ConfigError` if the networks cannot have `data.resolution`."""
    _build(config, config.data.resolution, config.data.channels, torch.device("meta"))


def _build(
    config: RunConfig, resolution: Resolution, image_channels: int, device: torch.device
) -> dict[str, nn.Module]:
    asked = networks_asked(new_objective(config))
    with device:
        built: dict[str, nn.Module] = networks.find(config.network.name).build(
            config.network,
            resolution=resolution,
            image_channels=image_channels,
            seed=config.train.seed,
            **asked,
        )
    return built


def loaded_features(objective: Objective, image_channels: int) -> dict[str, nn.Module]:
    """The networks of features that a method's loss uses, by role."""
    return {
        name: feature_network(role.features, image_channels)
        for name, role in objective.roles.items()
        if role.features is not None
    }


def new_objective(config: RunConfig) -> Objective:
    """The method of the run, for the latent size of its networks."""
    module = objectives.find(config.objective.name)
    objective: Objective = module.Objective(config.objective, config.network.latent_size)
    return objective


def start_networks(config: RunConfig, built: Mapping[str, nn.Module]) -> Origin | None:
    """Load the weights that `start` names into networks; None if it names no run.

    Raises `StorageError` if the checkpoint is missing or its hashes differ, and `ConfigError` if
    networks do not fit.
    """
    start = config.start
    if start.run is None:
        return None
    assert start.checkpoint is not None, "with_start_checkpoint names it"
    store = open_store(start.run, endpoint_url=config.storage.endpoint_url)
    origin, weights = read_start(store, start.checkpoint, start.networks, start.weights)
    for name in start.frozen or ():
        if name not in origin.networks:
            raise ConfigError(
                f"start.frozen = {name!r}: {start.run} holds no such network, so it would keep "
                f"random weights; name some of {', '.join(origin.networks)}"
            )
    load_start(built, weights, start.run)
    return origin
