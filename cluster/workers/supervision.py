"""Starts worker groups one after the other, until the run is done or must be given up.

Each group is one run of Ray Train with a fixed number of workers and no retries. Ray Train could
also restart and resize a group itself: `num_workers=(min, max)` and `FailureConfig(max_failures)`.
This module exists because that is not enough for a run here (Ray 2.60, measured on two cores):

- Saves first. Ray Train grows a group without a save: images since the last checkpoint are lost.
  Here the workers save before a resize or a preemption with notice, so neither costs an image.
- Speed. After the loss of a node, Ray Train needed 76 s to shrink from two workers to one: its
  resource view still listed the dead node, so it tried to start two workers until its default start
  timeout of 60 s. Here the next step follows after 22 s in the median and 23 s at most: a lost node
  is detected within 6 s, and placement groups count the room (`cluster.workers.reservations`).
- Budget. Ray Train counts the failures of the whole run, so a long run uses up any limit. Here a
  new checkpoint resets the count (`cluster.run_folder.group_history.Budget`).
- Reasons. Ray Train retries inside its controller, where the driver does not see why. Here every
  restart has one of seven reasons, in the group's record, the metrics and the user's output: a
  hang, a lost node, a storage outage and a dead process need different repairs.

Remove this module once Ray Train offers all four.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import ray

from cluster.config import ClusterConfig
from cluster.run_folder.group_history import Budget, GroupRecord
from cluster.workers.backend import SignalledTorchConfig
from cluster.workers.endings import Ending, ending_of
from cluster.workers.node_watcher import NodeWatcher
from cluster.workers.reservations import Reservations, clear_abandoned
from cluster.workers.trainer import LeanTrainer
from ganinv.errors import ClusterError, DataError, GanInvError, StorageError

Payload = dict[str, Any]
TrainFunction = Callable[[Payload], None]


def supervise(
    function: TrainFunction, payload: Payload, config: ClusterConfig
) -> GanInvError | None:
    """Run `function(payload)` in one group after the other until the run is over.

    Returns None if the run is done or was stopped, else the error that ends it. Call in a process
    of its own, because Ray Train replaces signal handlers. `payload["directory"]` is the run's
    directory, `payload["environment"]`, if given, holds variables of the workers' environment.
    """
    directory = payload["directory"]
    budget = Budget(config.max_failures, config.max_preemptions)
    idle_since = time.monotonic()  # since when no group has trained
    while True:
        waited = time.monotonic() - idle_since
        with closing(Reservations(config)) as reservations:
            size = reservations.await_size(config.max_wait_s - waited)
        if size is None:
            return _no_room(config)
        ray.get(directory.group_launched.remote(size))
        ending = _run_group(function, payload, config, size)
        if ending.reason == "not_started":
            message = f"a group of {size} workers did not start: {ending.detail}"
            ray.get(directory.post_message.remote(message))
            ray.get(directory.group_withdrawn.remote())
            continue
        idle_since = time.monotonic()
        if (verdict := _judge(ending, directory, budget)) is not None:
            return verdict.error


def _judge(ending: Ending, directory: Any, budget: Budget) -> Ending | None:
    """The end of the run, with its error if any; None if another group must follow."""
    purpose, detail = ray.get(directory.requested_save.remote())
    if ending.reason == "done" or (purpose == "stop" and ending.saved):
        return Ending(reason="done")
    if ending.saved and detail:
        ending = Ending(reason=ending.reason, detail=detail, saved=True)
    reported: GanInvError | None = ray.get(directory.error.remote())
    if reported is not None:
        return Ending(reason=ending.reason, error=reported)
    group: GroupRecord = ray.get(directory.group_ended.remote(ending.reason, ending.detail))
    broken = budget.spend(group)
    if broken is None:
        where = f" (images_seen {group.images_seen})" if group.images_seen is not None else ""
        message = f"{ending.reason}{where}: {ending.detail}; restarting"
        ray.get(directory.post_message.remote(message))
        return None
    if isinstance(ending.error, StorageError | DataError):
        return ending  # the storage's own error is closer to the cause
    return Ending(
        reason=ending.reason,
        error=ClusterError(
            f"{broken} (last: {ending.reason}, {ending.detail}); see the messages above, then "
            "start again: training resumes from the last checkpoint"
        ),
    )


def _no_room(config: ClusterConfig) -> ClusterError:
    return ClusterError(
        f"there was no room for {config.sizes[0]} workers of {config.resources_per_worker} within "
        f"cluster.max_wait_s = {config.max_wait_s:g} s; add nodes or lower "
        f"{'cluster.workers' if len(config.sizes) == 1 else 'cluster.min_workers'}, then start "
        "again: training resumes from the last checkpoint"
    )


def _run_group(
    function: TrainFunction, payload: Payload, config: ClusterConfig, size: int
) -> Ending:
    """Start one group and wait until it ends."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError

    directory = payload["directory"]
    with tempfile.TemporaryDirectory(prefix="ganinv-train-") as private:
        trainer = LeanTrainer(
            function,
            train_loop_config=payload,
            torch_config=SignalledTorchConfig(
                backend="cpu:gloo,cuda:nccl" if config.use_gpu else "gloo",
                timeout_s=int(config.collective_timeout_s),
            ),
            scaling_config=ScalingConfig(
                num_workers=size,
                use_gpu=config.use_gpu,
                resources_per_worker=config.resources_per_worker,
            ),
            run_config=RunConfig(
                name="run",
                storage_path=private,  # Ray's own records; checkpoints go elsewhere
                worker_runtime_env={"env_vars": payload.get("environment", {})},
                failure_config=FailureConfig(
                    max_failures=0, controller_failure_limit=0, max_preemption_failures=0
                ),
            ),
        )
        with closing(NodeWatcher(config, directory, size)):
            try:
                trainer.fit()
            except TrainingFailedError as error:
                return ending_of(error, ray.get(directory.worker_locations.remote()))
            except ray.exceptions.RayError as error:
                clear_abandoned()
                return ending_of(error, ray.get(directory.worker_locations.remote()))
    return Ending(reason="done")
