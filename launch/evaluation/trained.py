"""A trained run for the commands: its model, and all options of its training."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cluster.run_folder.options_record import options_of
from cluster.storage.opening import open_store
from datasets.shards.index import Index
from ganinv import load
from ganinv.errors import ConfigError, DataError
from ganinv.model import InvertibleGan, best_device
from ganinv.saved.loading import TrainedRun, load_run
from ganinv.seams.stores import Store
from launch.options.loading import load_config
from launch.options.places import NOT_MOVED, DataPlace, RunOptions
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


def open_model(
    storage: RunOptions,
    model: str | None,
    section: str,
    data: DataPlace = NOT_MOVED,
    *,
    with_data: bool = False,
) -> tuple[InvertibleGan, tuple[Store, Index] | None]:
    """The model of `storage.run`, or of the export `SECTION.model`; and its data set if asked.

    Raises `ConfigError` unless one of them is named, and without the data set's place for an
    export; else as `load_trained` and `open_data`.
    """
    if (storage.run is None) == (model is None):
        raise ConfigError(f"storage.run and {section}.model: give one of them, a run or an export")
    if storage.run is not None:
        store = open_store(storage.run, endpoint_url=storage.endpoint_url)
        if not with_data:
            return load_run(store).model.to(best_device()), None
        trained = load_trained(store, data=data)
        return trained.model.to(best_device()), open_data(trained, storage.endpoint_url)
    assert model is not None
    found = load(model, endpoint_url=storage.endpoint_url)
    if not with_data:
        return found, None
    if data.url is None:
        raise ConfigError(
            "data.url: an export does not know its data set; give its place, or name the run by "
            "storage.run=…"
        )
    store = open_store(data.url, endpoint_url=storage.endpoint_url)
    return found, (store, Index.load(store))


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
