"""A trained run for the commands: its model, and all options that it was trained with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from ganinv.errors import StorageError, StorageMissingError
from ganinv.saved.loading import TrainedRun, load_run
from ganinv.seams.stores import Store
from launch.options.loading import load_config
from launch.options.schema import RunConfig


@dataclass(frozen=True, kw_only=True)
class Trained(TrainedRun):
    """A model, and what is known of how it came to be."""

    config: RunConfig
    recorded: Mapping[str, Any]  # config.yaml of the run


def load_trained(store: Store, checkpoint: str | None = None) -> Trained:
    """The newest good checkpoint, or the one named.

    Raises `StorageError` if the run has no checkpoint that can be loaded.
    """
    run = load_run(store, checkpoint)
    return Trained(
        model=run.model,
        objective=run.objective,
        state=run.state,
        manifest=run.manifest,
        config=load_config(run.manifest.config, []),
        recorded=_recorded(store),
    )


def _recorded(store: Store) -> dict[str, Any]:
    try:
        recorded: dict[str, Any] = yaml.safe_load(store.read("config.yaml"))
    except StorageMissingError as error:
        raise StorageError(f"{store.url} has no config.yaml; is it a run?") from error
    return recorded
