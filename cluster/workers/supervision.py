"""The life of a run's worker groups: one after the other, until the run is done or gives up.

Each group is one run of Ray Train without any restart of its own. So every end is seen here, with
its reason, and what follows is decided in one place: how many workers the next group has, and
whether there is one.
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
from cluster.workers.lookout import Lookout
from cluster.workers.seats import Seats, clear_abandoned
from ganinv.errors import ClusterError, DataError, GanInvError, StorageError

Payload = dict[str, Any]
TrainFunction = Callable[[Payload], None]


def supervise(
    function: TrainFunction, payload: Payload, config: ClusterConfig
) -> GanInvError | None:
    """Let groups run `function(payload)` until one ends by itself; None, or why there is no more.

    A process of its own, for Ray Train takes over its signals. `payload["directory"]`: the run's.
    """
    directory = payload["directory"]
    budget = Budget(config.max_failures, config.max_preemptions)
    nobody_since = time.monotonic()  # since when no group has trained
    while True:
        waited = time.monotonic() - nobody_since
        with closing(Seats(config)) as seats:
            size = seats.await_size(config.max_wait_s - waited)
        if size is None:
            return _nobody_came(config)
        ray.get(directory.group_launched.remote(size))
        ending = _run_group(function, payload, config, size)
        if ending.reason == "not_started":
            ray.get(directory.say.remote(f"no group of {size} workers came up: {ending.detail}"))
            ray.get(directory.group_withdrawn.remote())
            continue
        nobody_since = time.monotonic()
        if (verdict := _judge(ending, directory, budget)) is not None:
            return verdict.error


def _judge(ending: Ending, directory: Any, budget: Budget) -> Ending | None:
    """The end of the run with its error, if any, or None: another group is to follow."""
    purpose, detail = ray.get(directory.asked.remote())
    if ending.reason == "done" or (purpose == "stop" and ending.saved):
        return Ending(reason="done")
    if ending.saved and detail:
        ending = Ending(reason=ending.reason, detail=detail, saved=True)
    said: GanInvError | None = ray.get(directory.error.remote())
    if said is not None:
        return Ending(reason=ending.reason, error=said)
    group: GroupRecord = ray.get(directory.group_ended.remote(ending.reason, ending.detail))
    broken = budget.spend(group)
    if broken is None:
        where = f" (images_seen {group.images_seen})" if group.images_seen is not None else ""
        ray.get(directory.say.remote(f"{ending.reason}{where}: {ending.detail}; starting again"))
        return None
    if isinstance(ending.error, StorageError | DataError):
        return ending  # what storage says of itself is closer to the cause
    return Ending(
        reason=ending.reason,
        error=ClusterError(
            f"{broken} (last: {ending.reason}, {ending.detail}); see above, then start again: "
            "training goes on from the last checkpoint"
        ),
    )


def _nobody_came(config: ClusterConfig) -> ClusterError:
    return ClusterError(
        f"there was no room for {config.sizes[0]} workers of {config.resources_per_worker} within "
        f"cluster.max_wait_s = {config.max_wait_s:g} s; add nodes or lower "
        f"{'cluster.workers' if len(config.sizes) == 1 else 'cluster.min_workers'}, then start "
        "again: training goes on from the last checkpoint"
    )


def _run_group(
    function: TrainFunction, payload: Payload, config: ClusterConfig, size: int
) -> Ending:
    """One group, to its end."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    directory = payload["directory"]
    with tempfile.TemporaryDirectory(prefix="ganinv-train-") as private:
        trainer = TorchTrainer(
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
                storage_path=private,  # of Ray's own bookkeeping; our checkpoints go elsewhere
                failure_config=FailureConfig(
                    max_failures=0, controller_failure_limit=0, max_preemption_failures=0
                ),
            ),
        )
        with closing(Lookout(config, directory, size)):
            try:
                trainer.fit()
            except TrainingFailedError as error:
                return ending_of(error, ray.get(directory.seats.remote()))
            except ray.exceptions.RayError as error:
                clear_abandoned()
                return ending_of(error, ray.get(directory.seats.remote()))
    return Ending(reason="done")
