"""The worker group of a run, as its driver sees it.

`cluster.workers.supervision` starts each group.

The training function runs on every worker with its process group initialised; how it reports and
why it ended goes through the run's `Directory`.
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

CLOSE_S = 5.0  # for the directory to withdraw the run from Prometheus
# From an error that no restart can mend to the end of those workers that did not meet it.
GRACE_S = 5.0
Payload = dict[str, Any]
TrainFunction = Callable[[Payload], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How the group ended: `error` is None after success."""

    error: GanInvError | None = None


def start_ray(config: ClusterConfig) -> None:
    """Join the cluster named by RAY_ADDRESS, or start Ray on this machine.

    A local Ray ends with this process, however that ends. Who may talk to it is settled by
    `cluster.jobs.ray_environment` before.
    """
    settings = {
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",  # notice failures soon
        "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": str(config.hang_floor_s),
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(config.start_timeout_s),
    }
    if not config.use_gpu:
        settings["DS_ACCELERATOR"] = "cpu"  # or DeepSpeed looks for others, and warns
    missing = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(missing)
    if os.environ.get("RAY_ADDRESS"):
        _join({name: os.environ[name] for name in settings}, missing)
        return
    # Ray lets workers import from the current folder first. That must be the checkout: the folder
    # where the command was typed may hold another package `datasets`.
    with _children_deaf_to_sigterm(), chdir(CHECKOUT):
        _start_local(config)


def _undiscovered_ray_targets() -> list[str]:
    """Exporters of a Ray that was started here: it has no dashboard that would tell of them."""
    if os.environ.get("RAY_ADDRESS"):
        return []
    nodes = (node for node in ray.nodes() if node["Alive"])
    return [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in nodes]


def _join(settings: dict[str, str], missing: dict[str, str]) -> None:
    """Nodes do not inherit this process' environment: what they need of it is passed on."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        # The job has shipped the checkout and passed on its own variables; Ray takes none twice.
        environment: dict[str, object] = {"env_vars": missing}
    else:
        shipped()  # raises if it is too much
        environment = {**runtime_environment(), "env_vars": settings}
    ray.init(runtime_env=environment, logging_level="warning", log_to_driver=False)


def _start_local(config: ClusterConfig) -> None:
    ray.init(
        address="local",
        num_cpus=max(os.cpu_count() or 1, int(config.sizes[-1] * config.cpus_per_worker) + 1),
        include_dashboard=False,
        logging_level="warning",
        log_to_driver=False,  # what people should read comes through the directory
        object_store_memory=100 * 2**20,  # no tensor travels through it
    )


@contextmanager
def _children_deaf_to_sigterm() -> Iterator[None]:
    """Whoever stops this process often signals its whole process group (`timeout`, systemd).

    Ray's own processes would then be gone before the workers have saved. They inherit the mask,
    and end when this process ends them, or dies.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


class WorkerGroup:
    """A run under way, until `close`."""

    def __init__(self, run: str, cluster: ClusterConfig, metrics: MetricsConfig) -> None:
        self._cluster = cluster
        start_ray(cluster)
        self.directory = start_directory(
            run, metrics.host, metrics.discovery_port, _undiscovered_ray_targets()
        )
        self.discovery_url: str = ray.get(self.directory.discovery_url.remote())
        self._fit: Any = None

    def close(self) -> None:
        """End the workers, and a Ray that was started here."""
        # If Ray is broken, so is what this would tidy up; `ganinv monitor` sweeps after it.
        with suppress(ray.exceptions.RayError):
            ray.get(self.directory.close.remote(), timeout=CLOSE_S)
        ray.shutdown()

    def start(self, function: TrainFunction, payload: Payload, *, number_from: int = 0) -> None:
        """Let `function({**payload, "directory": …})` run on all workers.

        `number_from`: the number of the first worker group, over the life of the run.
        """
        ray.get(self.directory.number_groups_from.remote(number_from))
        # On the driver's node: the loss of a worker's node must not take the controller with it.
        here = on_this_node()
        fit = ray.remote(_supervise).options(num_cpus=0, max_retries=0, scheduling_strategy=here)
        self._fit = fit.remote(function, {**payload, "directory": self.directory}, self._cluster)

    def wait(self, timeout_s: float) -> Outcome | None:
        """The outcome, or None if the group still runs after `timeout_s`."""
        ready, _ = ray.wait([self._fit], timeout=timeout_s)
        said: GanInvError | None = ray.get(self.directory.error.remote())
        if not ready and said is not None:
            # The others may wait in a collective for the one that has given up: left alone, until
            # `cluster.collective_timeout_s`.
            ready, _ = ray.wait([self._fit], timeout=GRACE_S)
            if not ready:
                return Outcome(error=said)
        if not ready:
            return None
        try:
            failure: GanInvError | None = ray.get(self._fit)
        except ray.exceptions.RayError as error:
            failure = ClusterError(f"the group's supervisor was lost ({error}); start again")
        # What a worker said of itself is closer to the cause than what Ray saw of it.
        return Outcome(error=ray.get(self.directory.error.remote()) or failure)

    def progress(self) -> dict[str, Any]:
        progress: dict[str, Any] = ray.get(self.directory.progress.remote())
        return progress

    def heard(self) -> list[str]:
        """What the workers said since the last call."""
        lines: list[str] = ray.get(self.directory.heard.remote())
        return lines

    def request_stop(self) -> None:
        """Ask the workers to save and end."""
        ray.get(self.directory.ask.remote("stop"))

    def groups(self) -> list[GroupRecord]:
        """The worker groups since `start`."""
        records: list[GroupRecord] = ray.get(self.directory.groups.remote())
        return records

    def ended(self, reason: End, detail: str = "") -> list[GroupRecord]:
        """Note how the last group ended, if that is not known; all groups."""
        if self.groups():  # there may never have been room for any
            ray.get(self.directory.group_ended.remote(reason, detail))
        return self.groups()


def _supervise(
    function: TrainFunction, payload: Payload, config: ClusterConfig
) -> GanInvError | None:
    # Here, for it imports Ray Train, which the driver has no use for.
    from cluster.workers.supervision import supervise

    return supervise(function, payload, config)
