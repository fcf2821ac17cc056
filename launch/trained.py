"""A trained model from a run's storage: the averaged weights of its newest good checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from torch import Tensor

from ganinv import networks, objectives
from ganinv.checkpoints import choose
from ganinv.errors import StorageError, StorageMissingError
from ganinv.manifest import Manifest
from ganinv.model import InvertibleGan
from ganinv.objectives.base import Objective
from ganinv.seams import Store
from launch.config import load_config
from launch.schema import RunConfig


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model, and what is known of how it came to be."""

    model: InvertibleGan
    objective: Objective
    state: Mapping[str, Tensor]
    config: RunConfig
    recorded: Mapping[str, Any]  # config.yaml of the run
    manifest: Manifest


def load_trained(store: Store) -> Trained:
    """Raises `StorageError` if the run has no checkpoint that can be loaded."""
    chosen = choose(store)
    if chosen is None:
        raise StorageError(
            f"{store.url} holds no checkpoint yet; train first, or check storage.run"
        )
    manifest, tensors = chosen
    config, recorded = load_config(manifest.config, []), _recorded(store)
    pair = networks.find(config.network.name).build(
        config.network,
        resolution=recorded["image_resolution"],
        image_channels=3,
        seed=config.train.seed,
    )
    for letter, network in (("g", pair.generator), ("d", pair.discriminator)):
        prefix = f"{letter}/average/"
        weights = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        network.load_state_dict(weights)
        network.requires_grad_(False).eval()
    objective: Objective = objectives.find(config.objective.name).Objective(config.objective)
    state = {n.removeprefix("state/"): t for n, t in tensors.items() if n.startswith("state/")}
    return Trained(
        model=InvertibleGan(
            generator=pair.generator,
            discriminator=pair.discriminator,
            scale_L=objective.scale(state).float(),
        ),
        objective=objective,
        state=state,
        config=config,
        recorded=recorded,
        manifest=manifest,
    )


def _recorded(store: Store) -> dict[str, Any]:
    try:
        recorded: dict[str, Any] = yaml.safe_load(store.read("config.yaml"))
    except StorageMissingError as error:
        raise StorageError(f"{store.url} has no config.yaml; is it a run?") from error
    return recorded
