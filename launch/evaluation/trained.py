"""A trained run for the commands: its model, and all options of its training."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cluster.run_folder.options_record import options_of
from cluster.storage.opening import open_store
from datasets.shards.index import Index
from ganinv.errors import DataError
from ganinv.saved.loading import TrainedRun, load_run
from ganinv.seams.stores import Store
from launch.options.loading import load_config
from launch.options.places import NOT_MOVED, DataPlace
from launch.options.schema import RunConfig


@dataclass(frozen=True, kw_only=True)
class Trained(TrainedRun):
    """A trained run, with all its options."""

    run_url: str
    config: RunConfig
    recorded: Mapping[str, Any]  # the options as the checkpoint records them


def load_trained(
    store: Store, checkpoint: str | None = None, data: DataPlace = NOT_MOVED
) -> Trained:
    """The newest intact checkpoint, or the checkpoint of the given name.

    `data`: where its data set lies now, which `open_data` compares with it. Raises `StorageError`
    if the run has no checkpoint that can be loaded.
    """
    run = load_run(store, checkpoint)
    config = load_config(run.manifest.config, [])
    if data.url is not None:
        config = replace(config, data=replace(config.data, url=data.url))
    return Trained(
        model=run.model,
        objective=run.objective,
        state=run.state,
        manifest=run.manifest,
        config=config,
        run_url=store.url,
        recorded=options_of(run.manifest),
    )


def open_data(trained: Trained, endpoint_url: str | None) -> tuple[Store, Index]:
    """The data set that a run was trained on.

    Raises `DataError` if another data set or none is there, and `StorageError` or `ConfigError` if
    the place cannot be read.
    """
    url = trained.config.data.url
    store = open_store(url, endpoint_url=endpoint_url)
    try:
        index = Index.load(store)
    except DataError as error:
        raise DataError(
            f"{error}; if the data set that {trained.run_url} was trained on has moved, give its "
            "place with data.url=PLACE"
        ) from error
    check_fingerprint(url, index, trained.manifest.data_fingerprint, trained.run_url)
    return store, index


def check_fingerprint(
    url: str, index: Index, trained_on: str, run: str, otherwise: str = ""
) -> None:
    """Raises `DataError` if the data set at `url` is not the one that `run` was trained on.

    `otherwise`: a further remedy.
    """
    if index.fingerprint != trained_on:
        raise DataError(
            f"data.url = {url!r}: is not the data set that {run} was trained on: its fingerprint "
            f"is {index.fingerprint}, and that of the run is {trained_on}; give the place where "
            f"that data set is now{otherwise}"
        )
