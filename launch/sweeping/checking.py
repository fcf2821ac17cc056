"""Checks of all trainings before the first one starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from rich.console import Console

from cluster.machines.ray_checks import check_ray
from cluster.run_folder.options_record import began_with
from cluster.storage.opening import open_store
from cluster.storage.retries import RetryPolicy
from cluster.workers.starting import check_demand
from datasets.shards.index import Index
from datasets.streaming.mix import DataSet
from ganinv.declarations import Statistic
from ganinv.errors import ConfigError
from ganinv.latents.labelled import Condition
from ganinv.saved.manifest import manifests_newest_first
from ganinv.seams.stores import Store
from launch.options.loading import load_configs
from launch.options.schema import RunConfig
from launch.options.stages import ONE_STAGE
from launch.progress import counting
from launch.sweeping.grid import Grid, Training
from launch.sweeping.judging import check_figure
from launch.wiring.labels import (
    with_condition,
    with_found_condition,
    with_recorded_condition,
)
from launch.wiring.networks import (
    build_networks,
    check_start,
    new_objective,
    with_start_checkpoint,
)
from launch.wiring.preflight import (
    check_built,
    check_evaluation,
    check_loading,
    check_records,
    check_storage,
    check_units,
    prepare_data,
)
from launch.wiring.same_run import changes, check_data, check_options, is_trained

RUN = "storage.run"


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A training with its options."""

    training: Training
    label: str
    words: tuple[str, ...]  # for `ganinv train`, after the recipe
    configs: Mapping[str, RunConfig]  # by stage

    @property
    def config(self) -> RunConfig:
        """Of the last stage, whose run lies in the training's folder."""
        return list(self.configs.values())[-1]

    def store(self) -> Store:
        return retrying(self.config.storage.run, self.config)


def planned(recipe: Mapping[str, Any], grid: Grid) -> tuple[RunConfig, list[Planned]]:
    """Options with the sweep's folder as `storage.run`, and the options of all trainings.

    Raises one `ConfigError` with every problem of every training.
    """
    found, problems, place = [], list[str](), None
    shared = [word for word in grid.fixed if word.partition("=")[0] != RUN]
    for training in grid.trainings:
        try:
            if place is None:
                words = (*grid.fixed, *training.words)
                whole = [word for word in words if not word.startswith(ONE_STAGE)]
                place = list(load_configs(recipe, whole).values())[-1]
            run = f"{folder_of(place)}/{training.name}"
            words = (*shared, *training.words, f"{RUN}={run}")
            configs = load_configs(recipe, words)
        except ConfigError as error:
            problems += str(error).splitlines()
            continue
        label = training.label(grid.names)
        found.append(Planned(training=training, label=label, words=words, configs=configs))
    if problems or place is None:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    return place, found


def folder_of(place: RunConfig) -> str:
    return place.storage.run.rstrip("/")


def check(
    trainings: Sequence[Planned], folder: RunConfig, judge: Statistic, out: Console
) -> set[str]:
    """Check everything that `ganinv train` checks before it starts workers; build missing data.

    `folder`: options with the sweep's folder as `storage.run`. Returns the names of the trainings
    that have seen all of their images. Raises the errors of `ganinv.errors`.
    """
    check_ray()
    check_storage(folder)
    data: _Data | None = None
    problems, done = list[str](), set[str]()
    for one in trainings:
        try:
            data = data or _first(one, out)
            if _check(one, data, judge, out):
                done.add(one.training.name)
        except ConfigError as error:
            problems.append(f"{one.label}: {error}")
    if problems:
        raise ConfigError("\n".join(problems))
    return done


class _Data(NamedTuple):
    """The data sets and the classes of `data.label`, which are the same for all trainings."""

    sets: list[DataSet]
    condition: Condition | None

    def labelled(self, config: RunConfig) -> RunConfig:
        return config if self.condition is None else with_condition(config, self.condition)


def _first(one: Planned, out: Console) -> _Data:
    config, began = next(iter(one.configs.values())), began_with(one.store())
    with counting(out) as watching:
        data_sets = prepare_data(config, watching, out.print, began)
    if missing := check_evaluation(config, data_sets[0].index):
        out.print(missing, markup=False, soft_wrap=True)
    if config.data.label is None:
        return _Data(data_sets, None)
    config = with_found_condition(with_recorded_condition(config, began), data_sets, out.print)
    return _Data(data_sets, config.objective.condition)


def _check(one: Planned, data: _Data, judge: Statistic, out: Console) -> bool:
    """Whether the training has been trained already."""
    index = data.sets[0].index
    for config in map(data.labelled, one.configs.values()):
        check_demand(config.cluster)
        check_units(config)
        check_built(config, index)
        fingerprint = check_loading(config, data.sets)
    store = one.store()
    check_figure(
        judge,
        config.objective.name,
        encodes=_encodes(config, index),
        held_out=index.samples("test"),
    )
    began = began_with(store)
    # A stage that has not begun starts from the run of the stage before it, which may not exist.
    if began is not None or len(one.configs) == 1:
        config = with_start_checkpoint(config, began)
        check_start(config, store, index)
    check_options(began, config, store.url)
    check_records(store)
    check_data(began, config, index, fingerprint, store.url)
    if not is_trained(store, config):
        return False
    for change in changes(began, config):
        words = f"{one.label}: trained already, and not anew, with another option: {change}"
        out.print(words, markup=False, soft_wrap=True)
    return True


def _encodes(config: RunConfig, index: Index) -> bool:
    """Whether the method recovers codes from images."""
    objective = new_objective(config)
    built = build_networks(config, index, torch.device("meta"))  # no memory is allocated
    tensors = objective.tensors(objective.new_state(config.train.global_batch))
    return objective.codec(built, tensors).encodes


def retrying(url: str, config: RunConfig) -> Store:
    """A store that outlasts `storage.deadline_s` without an answer: others train meanwhile."""
    storage = config.storage
    retries = RetryPolicy(deadline_s=storage.deadline_s, option="storage.deadline_s")
    return open_store(url, endpoint_url=storage.endpoint_url, retries=retries)


def images_seen(store: Store) -> int:
    """Images that the newest checkpoint has seen; 0 without one."""
    manifests = manifests_newest_first(store)
    return manifests[0].images_seen if manifests else 0
