"""A trained run for the commands: its model, and all options of its training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.run_folder.options_record import options_of
from datasets.shards.index import Index
from ganinv.errors import DataError
from ganinv.saved.loading import TrainedRun, load_run
from ganinv.seams.stores import Store
from launch.options.loading import load_config
from launch.options.schema import RunConfig


@dataclass(frozen=True, kw_only=True)
class Trained(TrainedRun):
    """A trained run, with all its options."""

    config: RunConfig
    recorded: Mapping[str, Any]  # the options as the checkpoint records them


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
        recorded=options_of(run.manifest),
    )


def check_fingerprint(url: str, index: Index, trained_on: str, run: str) -> None:
    """Raises `DataError` if the data set at `url` is not the one that `run` was trained on."""
    if index.fingerprint != trained_on:
        raise DataError(
            f"data.url = {url!r}: is not the data set that {run} was trained on: its fingerprint "
            f"is {index.fingerprint}, and that of the run is {trained_on}; give the place where "
            "that data set is now"
        )
