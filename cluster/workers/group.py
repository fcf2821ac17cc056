"""The driver's view of a run: start Ray, start the workers, wait for the outcome.

`cluster.workers.supervision` starts one worker group after the other. The training function runs on
every worker, with the process group initialised, and reports through the run's `Directory`.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray

from cluster.config import ClusterConfig, MetricsConfig
from cluster.jobs.ray_environment import cluster_address
from cluster.machines.nodes import on_this_node
from cluster.run_folder.group_history import End, GroupRecord
from cluster.workers.directory import start_directory
from cluster.workers.room import WaitReport
from cluster.workers.starting import start_ray
from ganinv.errors import ClusterError, GanInvError

ANSWER_S = 120.0  # for the directory on the head; a busy machine takes seconds
CLOSE_S = 5.0  # time limit for the directory to withdraw the run from Prometheus
# After one worker has met an error that no restart can repair, the others have this long to end.
GRACE_S = 5.0
Payload = dict[str, Any]
TrainFunction = Callable[[Payload], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How the run ended: `error` is None after success."""

    error: GanInvError | None = None


def _undiscovered_ray_targets() -> list[str]:
    """Addresses of a local Ray's exporters. A local Ray has no dashboard that announces them."""
    if cluster_address() is not None:
        return []
    nodes = (node for node in ray.nodes() if node["Alive"])
    return [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in nodes]


class WorkerGroup:
    """The workers of one run, from the constructor to `close`."""

    def __init__(
        self, run: str, cluster: ClusterConfig, metrics: MetricsConfig, number_from: int = 0
    ) -> None:
        """`number_from`: the number of the first worker group, counted over the run's whole life.

        Raises the errors of `start_ray`.
        """
        self._cluster = cluster
        self._fit: Any = None
        self._waiting = WaitReport(cluster)
        self.discovery_url = ""  # for Prometheus; known once the group was started
        start_ray(cluster)
        try:
            # Its process starts while the supervisor's does, so nobody waits for it here.
            self.directory = start_directory(
                run, metrics.host, metrics.discovery_port, _undiscovered_ray_targets(), number_from
            )
        except BaseException:  # nobody could call `close`
            ray.shutdown()
            raise

    def close(self) -> None:
        """End the workers, and Ray if it was started here."""
        # If Ray has failed, the directory has too; `ganinv monitor` removes its file later.
        with suppress(ray.exceptions.RayError):
            ray.get(self.directory.close.remote(), timeout=CLOSE_S)
        ray.shutdown()

    def start(self, function: TrainFunction, payload: Payload) -> None:
        """Run `function({**payload, "directory": …})` on all workers.

        Returns once the directory answers. Raises `ClusterError` if it does not.
        """
        # On the driver's node, so that the loss of a worker's node does not end the supervisor.
        here = on_this_node()
        fit = ray.remote(_supervise).options(num_cpus=0, max_retries=0, scheduling_strategy=here)
        self._fit = fit.remote(function, {**payload, "directory": self.directory}, self._cluster)
        self.discovery_url = self._ask("discovery_url", timeout_s=self._cluster.max_wait_s)

    def wait(self, timeout_s: float) -> Outcome | None:
        """The outcome, or None if the run still trains after `timeout_s`."""
        ready, _ = ray.wait([self._fit], timeout=timeout_s)
        reported: GanInvError | None = self._ask("error")
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
        return Outcome(error=self._ask("error") or failure)

    def progress(self) -> dict[str, Any]:
        progress: dict[str, Any] = self._ask("progress")
        return progress

    def take_messages(self) -> list[str]:
        """What workers have posted since the last call, and every minute what a group waits for."""
        lines: list[str] = self._ask("take_messages")
        started = len(self._ask("worker_locations"))
        return lines + self._waiting.lines(started, self.groups())

    def request_stop(self) -> None:
        """Ask the workers to save and end."""
        self._ask("request_save", "stop")

    def trains(self) -> bool:
        """Whether a group is alive that has trained since its start, so that it can save."""
        records = self.groups()
        return bool(records) and records[-1].reason is None and records[-1].first_step is not None

    def groups(self) -> list[GroupRecord]:
        """The records of the worker groups since `start`."""
        records: list[GroupRecord] = self._ask("groups")
        return records

    def ended(self, reason: End, detail: str = "") -> list[GroupRecord]:
        """Record why the last group ended, if no reason is recorded yet; returns all records."""
        if self.groups():  # empty if the nodes never had room for a group
            self._ask("group_ended", reason, detail)
        return self.groups()

    def _ask(self, verb: str, *words: Any, timeout_s: float = ANSWER_S) -> Any:
        """What the directory answers. Raises `ClusterError` if it was lost or does not answer."""
        try:
            return ray.get(getattr(self.directory, verb).remote(*words), timeout=timeout_s)
        except ray.exceptions.RayError as error:
            raise ClusterError(
                f"the run's directory on the head node was lost or does not answer "
                f"({type(error).__name__}); start again: training resumes from the last checkpoint"
            ) from error


def _supervise(
    function: TrainFunction, payload: Payload, config: ClusterConfig
) -> GanInvError | None:
    # Imported here because it imports Ray Train, which the driver does not need.
    from cluster.workers.supervision import supervise

    return supervise(function, payload, config)
