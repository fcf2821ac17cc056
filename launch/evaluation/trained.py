"""A trained run for the commands: its model, and all options of its training."""

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
    """A trained run, with all its options."""

    config: RunConfig
    recorded: Mapping[str, Any]  # content of the run's config.yaml


def load_trained(store: Store, checkpoint: str | None = None) -> Trained:
    """The newest intact checkpoint, or the checkpoint of the given name.

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
        raise StorageError(
            f"{store.url} has no config.yaml, so it is not a run; correct storage.run"
        ) from error
    return recorded
