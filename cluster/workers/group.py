"""The driver's view of a run: start Ray, start the workers, wait for the outcome.

`cluster.workers.supervision` starts one worker group after the other. The training function runs on
every worker, with the process group initialised, and reports through the run's `Directory`.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray

from cluster.config import ClusterConfig, MetricsConfig
from cluster.jobs.shipping import CHECKOUT, runtime_environment, shipped
from cluster.machines.nodes import on_this_node
from cluster.run_folder.group_history import End, GroupRecord
from cluster.workers.directory import start_directory
from ganinv.errors import ClusterError, GanInvError

CLOSE_S = 5.0  # time limit for the directory to withdraw the run from Prometheus
# After one worker has met an error that no restart can repair, the others have this long to end.
GRACE_S = 5.0
Payload = dict[str, Any]
TrainFunction = Callable[[Payload], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How the run ended: `error` is None after success."""

    error: GanInvError | None = None


def start_ray(config: ClusterConfig) -> None:
    """Join the cluster named by RAY_ADDRESS, or start Ray on this machine.

    A local Ray ends with this process, even if the process is killed. Call
    `cluster.jobs.ray_environment.prepare` first: it sets who may connect.
    """
    settings = {
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",  # detect failures early
        "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": str(config.hang_floor_s),
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(config.start_timeout_s),
    }
    if not config.use_gpu:
        settings["DS_ACCELERATOR"] = (
            "cpu"  # otherwise DeepSpeed searches for accelerators and warns
        )
    missing = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(missing)
    if os.environ.get("RAY_ADDRESS"):
        _join({name: os.environ[name] for name in settings}, missing)
        return
    # Ray lets workers import from the current folder first. That must be the checkout: the folder
    # where the command was typed may hold another package `datasets`.
    with _children_ignore_sigterm(), chdir(CHECKOUT):
        _start_local(config)


def _undiscovered_ray_targets() -> list[str]:
    """Addresses of a local Ray's exporters. A local Ray has no dashboard that announces them."""
    if os.environ.get("RAY_ADDRESS"):
        return []
    nodes = (node for node in ray.nodes() if node["Alive"])
    return [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in nodes]


def _join(settings: dict[str, str], missing: dict[str, str]) -> None:
    """Connect, and pass on variables, because nodes do not inherit this process' environment."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        # The job has shipped the checkout and set its variables; Ray refuses to set one twice.
        environment: dict[str, object] = {"env_vars": missing}
    else:
        shipped()  # raises if the checkout is too large
        environment = {**runtime_environment(), "env_vars": settings}
    ray.init(runtime_env=environment, logging_level="warning", log_to_driver=False)


def _start_local(config: ClusterConfig) -> None:
    ray.init(
        address="local",
        num_cpus=max(os.cpu_count() or 1, int(config.sizes[-1] * config.cpus_per_worker) + 1),
        include_dashboard=False,
        logging_level="warning",
        log_to_driver=False,  # messages for people come through the directory
        object_store_memory=100 * 2**20,  # no tensor travels through it
    )


@contextmanager
def _children_ignore_sigterm() -> Iterator[None]:
    """Processes that start inside this context ignore SIGTERM.

    `timeout` and systemd signal the whole process group of a command. Without this, Ray's own
    processes would end before the workers have saved. They inherit the signal mask, and end when
    this process shuts them down or dies.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


class WorkerGroup:
    """The workers of one run, from the constructor to `close`."""

    def __init__(self, run: str, cluster: ClusterConfig, metrics: MetricsConfig) -> None:
        self._cluster = cluster
        start_ray(cluster)
        self.directory = start_directory(
            run, metrics.host, metrics.discovery_port, _undiscovered_ray_targets()
        )
        self.discovery_url: str = ray.get(self.directory.discovery_url.remote())
        self._fit: Any = None

    def close(self) -> None:
        """End the workers, and Ray if it was started here."""
        # If Ray has failed, the directory has too; `ganinv monitor` removes its file later.
        with suppress(ray.exceptions.RayError):
            ray.get(self.directory.close.remote(), timeout=CLOSE_S)
        ray.shutdown()

    def start(self, function: TrainFunction, payload: Payload, *, number_from: int = 0) -> None:
        """Run `function({**payload, "directory": …})` on all workers; returns at once.

        `number_from`: the number of the first worker group, counted over the run's whole life.
        """
        ray.get(self.directory.number_groups_from.remote(number_from))
        # On the driver's node, so that the loss of a worker's node does not end the supervisor.
        here = on_this_node()
        fit = ray.remote(_supervise).options(num_cpus=0, max_retries=0, scheduling_strategy=here)
        self._fit = fit.remote(function, {**payload, "directory": self.directory}, self._cluster)

    def wait(self, timeout_s: float) -> Outcome | None:
        """The outcome, or None if the run still trains after `timeout_s`."""
        ready, _ = ray.wait([self._fit], timeout=timeout_s)
        reported: GanInvError | None = ray.get(self.directory.error.remote())
        if not ready and reported is not None:
            # The other workers may wait in a collective for the worker that has failed. Without
            # this limit they would wait for `cluster.collective_timeout_s`.
            ready, _ = ray.wait([self._fit], timeout=GRACE_S)
            if not ready:
                return Outcome(error=reported)
        if not ready:
            return None
        try:
            failure: GanInvError | None = ray.get(self._fit)
        except ray.exceptions.RayError as error:
            failure = ClusterError(f"the group's supervisor was lost ({error}); start again")
        # A worker's own error is closer to the cause than the error that Ray observed.
        return Outcome(error=ray.get(self.directory.error.remote()) or failure)

    def progress(self) -> dict[str, Any]:
        progress: dict[str, Any] = ray.get(self.directory.progress.remote())
        return progress

    def take_messages(self) -> list[str]:
        """The lines that workers have posted since the last call."""
        lines: list[str] = ray.get(self.directory.take_messages.remote())
        return lines

    def request_stop(self) -> None:
        """Ask the workers to save and end."""
        ray.get(self.directory.request_save.remote("stop"))

    def groups(self) -> list[GroupRecord]:
        """The records of the worker groups since `start`."""
        records: list[GroupRecord] = ray.get(self.directory.groups.remote())
        return records

    def ended(self, reason: End, detail: str = "") -> list[GroupRecord]:
        """Record why the last group ended, if no reason is recorded yet; returns all records."""
        if self.groups():  # empty if the nodes never had room for a group
            ray.get(self.directory.group_ended.remote(reason, detail))
        return self.groups()


def _supervise(
    function: TrainFunction, payload: Payload, config: ClusterConfig
) -> GanInvError | None:
    # Imported here because it imports Ray Train, which the driver does not need.
    from cluster.workers.supervision import supervise

    return supervise(function, payload, config)
