"""`ganinv train`: train on this machine, or on the cluster named by RAY_ADDRESS."""

import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from rich.console import Console

from cluster.machines.ray_checks import check_ray
from cluster.processes import own_age_s
from cluster.run_folder.group_history import End
from cluster.run_folder.group_log import GroupLog
from cluster.run_folder.lease import Lease, lease
from cluster.run_folder.options_record import began_with, write_options
from cluster.storage.opening import open_store, remove_unfinished
from cluster.storage.retries import RetryPolicy
from cluster.workers.group import WorkerGroup
from cluster.workers.starting import check_demand
from datasets.shards.index import Index
from ganinv.errors import StorageUnavailableError
from ganinv.saved.manifest import committed_names, manifests_newest_first
from ganinv.seams.stores import Store
from launch import signals
from launch.options.arguments import parse
from launch.options.averaging import averaging_notes
from launch.options.loading import load_configs, load_recipe, recipe_names
from launch.options.schema import RunConfig
from launch.options.stages import stages_of
from launch.progress import TrainingBar, console, counting
from launch.starting import StartReport
from launch.wiring.labels import with_found_condition, with_recorded_condition
from launch.wiring.networks import (
    check_start,
    loaded_features,
    new_objective,
    with_start_checkpoint,
)
from launch.wiring.preflight import (
    check_evaluation,
    check_loading,
    check_records,
    check_storage,
    check_units,
    prepare_data,
    worker_environment,
)
from launch.wiring.same_run import changes, check_data, check_options, is_trained, record
from launch.wiring.worker import train_worker

POLL_S = 0.3
SAVED = "stopped after saving; the same command resumes training"
UNSAVED = "stopped; the workers ended without saving: training resumes from the last checkpoint"
NOTHING_TO_SAVE = "stopped; there was nothing new to save"
EXAMPLES = """\
recipes: {recipes}

examples:
  ganinv train tiny-pvdgan storage.run=runs/tiny data.url=runs/data16
  ganinv train avatars32-pvdgan \\
      storage.run=s3://ganinv/runs/a data.url=s3://ganinv/avatars32
  ganinv train my.yaml storage.run=… data.url=… train.images=500000 cluster.workers=4

If storage.run holds a checkpoint, training resumes from it. Ctrl-C, SIGTERM and a closed terminal
save, then end (status 130); `nohup` keeps a training alive when the terminal closes.

A recipe with stages trains them one after another: the last one's run lies in storage.run, the
others' in folders of their names below. stage=NAME trains one of them, and stages.NAME.KEY=VALUE
is an option of one.
"""


def main(argv: list[str]) -> int:
    start = StartReport(before=own_age_s())
    start.end("imports")
    arguments = parse(
        argv,
        "train",
        "Train a model. Options are key=value, over those of the recipe.",
        EXAMPLES.format(recipes=", ".join(recipe_names())),
        "RECIPE",
    )
    recipe = load_recipe(arguments.names[0])
    configs = load_configs(recipe, arguments.options)
    out = console(arguments.as_json)
    for stage in stages_of(recipe, arguments.options):
        for note in averaging_notes(stage.recipe, configs[stage.name]):
            out.print(note, markup=False)
    start.end("options")
    status = train_stages(configs, out, start)
    if arguments.as_json:
        last = list(configs.values())[-1]
        print(json.dumps({"storage.run": last.storage.run, "status": status}))
    return status


def train_stages(configs: Mapping[str, RunConfig], out: Console, start: StartReport) -> int:
    """Train runs that start from one another, in order; returns as `train` does.

    Begins with the last stage that has a checkpoint: its networks come from the stage before it,
    which therefore needs no more training. A stage that has seen all of its images is left out,
    unless it is the last.
    """
    for config in configs.values():  # not after days of the stage before
        loaded_features(new_objective(config), image_channels=3)
    stores = [_quick_store(config) for config in configs.values()] if len(configs) > 1 else []
    begun = [number for number, store in enumerate(stores) if committed_names(store)]
    first = begun[-1] if begun else 0
    last = len(configs) - 1
    for number, (name, config) in enumerate(configs.items()):
        if number < first or (number < last and stores and is_trained(stores[number], config)):
            out.print(f"stage {name}: trained already, in {config.storage.run}", markup=False)
            continue
        if name:
            out.print(f"stage {name}, number {number + 1} of {len(configs)}", markup=False)
        if status := train(config, out, start):
            return status
        start = StartReport()
    return 0


def _quick_store(config: RunConfig) -> Store:
    return open_store(config.storage.run, endpoint_url=config.storage.endpoint_url)


def train(config: RunConfig, out: Console, start: StartReport | None = None) -> int:
    """Train to the end; returns 0, or 130 if training was stopped (after saving).

    `start` knows how long the command has taken until now; None: what came before does not count.
    Raises the errors of `ganinv.errors`.
    """
    check_demand(config.cluster)
    check_units(config)
    check_ray()
    store = check_storage(config)
    # Taken before anything is written or started: two commands must not write the same run.
    with lease(store, config.storage.lease_s, out.print) as held:
        remove_unfinished(store)
        return _train(config, store, held, out, start or StartReport())


def _train(config: RunConfig, store: Store, held: Lease, out: Console, start: StartReport) -> int:
    began = began_with(store)  # nothing is written before it has been compared
    config = with_start_checkpoint(config, began)
    config = with_recorded_condition(config, began)
    check_options(began, config, store.url)
    check_records(store)
    with counting(out) as watching:
        data_sets = prepare_data(config, watching, out.print, began)
    index = data_sets[0].index
    config = with_found_condition(config, data_sets, out.print)
    mix_fingerprint = check_loading(config, data_sets)
    check_data(began, config, index, mix_fingerprint, store.url)
    missing = check_evaluation(config, index)
    if missing is not None:
        out.print(missing, markup=False, soft_wrap=True)
    check_start(config, store, index)
    for change in changes(began, config):
        out.print(f"changed since this run began: {change}")
    _announce(config, index, store, out)
    # The checks above fail at once if storage does not answer; from now on requests are retried.
    # A connection keeps its way of retrying, so the run's storage is opened a second time.
    retries = RetryPolicy(deadline_s=config.storage.deadline_s, option="storage.deadline_s")
    retrying = open_store(
        config.storage.run, endpoint_url=config.storage.endpoint_url, retries=retries
    )
    write_options(store, record(config, index, mix_fingerprint))
    log = GroupLog(retrying)
    start.end("preflight")
    with (
        closing(
            WorkerGroup(config.storage.run, config.cluster, config.metrics, log.first_number)
        ) as group,
        signals.collected() as asked,
    ):
        start.end("Ray")
        payload = {
            "config": config,
            "lease": held.fencing_token,
            "environment": worker_environment(config),
        }
        group.start(train_worker, payload)
        out.print(f"metrics for Prometheus (http_sd_configs): {group.discovery_url}")
        stopped = _watch(group, config, held, out, asked, log, start)
    if stopped:
        out.print(stopped)
        return 130
    out.print(completed(retrying))
    return 0


def completed(store: Store) -> str:
    """What was trained, in words. The last checkpoint is committed, even if storage now fails."""
    try:
        newest = manifests_newest_first(store)[0]
    except StorageUnavailableError as error:
        return f"trained to the end; the last checkpoint is saved but cannot be listed: {error}"
    return f"trained {newest.images_seen} images; checkpoint {newest.name} in {store.url}"


def _watch(
    group: WorkerGroup,
    config: RunConfig,
    held: Lease,
    out: Console,
    asked: list[int],
    log: GroupLog,
    start: StartReport,
) -> str | None:
    """Show progress until the last group ends. How training stopped before the run's end, if so."""
    forwarded = saving = False
    with TrainingBar(out, config.train.images) as bar:
        while (outcome := group.wait(POLL_S)) is None:
            _show(group, bar, out, start)
            held.check()
            log.keep(group.groups())
            if asked and not forwarded:
                forwarded = True
                group.request_stop()
                if saving := group.trains():
                    out.print("saving, then stopping (a second Ctrl-C stops without saving)")
            if forwarded and not group.trains():
                log.close(group.ended("stopped"))
                return UNSAVED if saving else NOTHING_TO_SAVE
        progress = _show(group, bar, out, start)
    stopped = forwarded and int(progress.get("images_seen", 0)) < config.train.images
    end: End = "gave_up" if outcome.error is not None else "stopped" if stopped else "done"
    log.close(group.ended(end, str(outcome.error or "")))
    if outcome.error is not None:
        raise outcome.error
    return SAVED if stopped else None


def _show(
    group: WorkerGroup, bar: TrainingBar, out: Console, start: StartReport
) -> Mapping[str, Any]:
    for line in (*group.take_messages(), *start.lines(group.groups())):
        out.print(line, markup=False, soft_wrap=True)
    progress = group.progress()
    bar.update(progress)
    return progress


def _announce(config: RunConfig, index: Index, store: Store, out: Console) -> None:
    sizes = config.cluster.sizes
    workers = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]}–{sizes[-1]}"
    workers += " worker" if sizes[-1] == 1 else " workers"
    out.print(
        f"{config.objective.name} on {index.samples('train')} images of {index.resolution} px, "
        f"{workers}, {config.train.images} images to see, run in {store.url}"
    )
    manifests = manifests_newest_first(store)
    if manifests:
        out.print(f"resuming from {manifests[0].images_seen} images")
    elif config.start.run is not None:
        chosen = ", ".join(config.start.networks or ["all networks"])
        out.print(f"starting from {chosen} of {config.start.run}, {config.start.checkpoint}")
