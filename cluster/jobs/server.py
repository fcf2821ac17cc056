"""A cluster's job server: submit a command of this checkout, follow it, return its exit status.

Everything goes over HTTP (for example through an SSH tunnel), with the cluster's token if it
requires one. A job continues without its client; another client can follow it from the start of its
log.
"""

import asyncio
import shlex
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import aiohttp
from ray.job_submission import JobDetails, JobStatus
from ray.util.state import list_actors, list_nodes

from cluster.jobs.client import (
    REQUEST_TIMEOUT_S,
    Client,
    Log,
    NotReadyError,
    UnreachableError,
    addressed,
    translated_errors,
)
from cluster.jobs.shipping import runtime_environment
from ganinv.errors import ClusterError, ConfigError

PATIENCE_S = 120.0  # how long to retry while the server does not answer
TRAIN_WORKER = "RayTrainWorker"  # Ray Train's name for the actor of one rank
START_PATIENCE_S = 60.0  # how long to retry on a head that has just started
STOP_WAIT_S = 120  # time for a stopped job to save before it is killed


class JobServer:
    """The job server at `address`, for example http://127.0.0.1:8265.

    Every method raises `ClusterError` if the server is unreachable or refuses the token.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._client = self._call(lambda: Client(address))

    def submit(
        self,
        words: Sequence[str],
        *,
        environment: Mapping[str, str],
        metadata: Mapping[str, str],
        job_id: str | None = None,
    ) -> str:
        """Ship the checkout and start `python -m launch WORDS` in it. Returns the job's id.

        Everyone who may use the cluster can read `environment` and `metadata`. Raises `ConfigError`
        if `job_id` is in use.
        """
        if job_id is not None and self._get(job_id) is not None:
            raise ConfigError(
                f"submit.id = {job_id!r}: the cluster has a job with this id; choose another one"
            )
        variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S), **environment}
        deadline = time.monotonic() + START_PATIENCE_S
        while True:
            try:
                submitted: str = self._call(
                    lambda: self._client.submit_job(
                        # Without exec, a signal would end the shell but not the command.
                        entrypoint=f"exec python -m launch {shlex.join(words)}",
                        submission_id=job_id,
                        runtime_env={**runtime_environment(), "env_vars": variables},
                        metadata=dict(metadata),
                    )
                )
            except NotReadyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
            else:
                return submitted

    def jobs(self) -> list[JobDetails]:
        """All submitted jobs that the cluster remembers, oldest first."""
        listed = [job for job in self._call(self._client.list_jobs) if job.submission_id]
        return sorted(listed, key=lambda job: job.start_time or 0)

    def stop(self, job_id: str) -> None:
        """Ask a job to save and end. Ray kills it after `STOP_WAIT_S`."""
        self._require(job_id)
        self._call(lambda: self._client.stop_job(job_id))

    def follow(self, job_id: str, write: Callable[[str], object]) -> int:
        """Write a job's log from its start to its end. Returns the command's exit status.

        The status is 130 if the job was stopped. Raises `ConfigError` if there is no such job, and
        `ClusterError` if the job was lost or if the server does not answer for `PATIENCE_S`.
        """
        self._require(job_id)
        log = Log(write)
        answered = time.monotonic()
        while True:
            # Errors while reading the log do not matter; the job's state is requested below.
            with suppress(RuntimeError, OSError, aiohttp.ClientError):
                asyncio.run(log.read(self._client.tail_job_logs(job_id)))
            try:
                job = self._get(job_id)
            except UnreachableError:
                if time.monotonic() - answered > PATIENCE_S:
                    raise
            else:
                answered = time.monotonic()
                if job is None:
                    raise ClusterError(_lost(job_id, "the cluster's head was replaced"))
                if job.status.is_terminal():
                    return exit_status(job)
            time.sleep(1)

    def overview(self) -> dict[str, Any]:
        """Nodes with their numbers of workers, and jobs, as plain values (CPUs, Unix seconds)."""
        request = {"address": self.address, "timeout": int(REQUEST_TIMEOUT_S), "limit": 10_000}
        alive = [("state", "=", "ALIVE"), ("class_name", "=", TRAIN_WORKER)]
        workers = Counter(
            a.node_id for a in self._call(lambda: list_actors(filters=alive, **request))
        )
        nodes = [
            {
                "address": node.node_ip,
                "head": node.is_head_node,
                "state": node.state,
                "cpus": node.resources_total.get("CPU", 0),
                "gpus": node.resources_total.get("GPU", 0),
                "workers": workers[node.node_id],
            }
            for node in self._call(lambda: list_nodes(**request))
        ]
        jobs = [
            {
                "id": job.submission_id,
                "state": job.status.value,
                "run": (job.metadata or {}).get("run"),
                "started": (job.start_time or 0) / 1000,
            }
            for job in self.jobs()
        ]
        return {"nodes": sorted(nodes, key=lambda node: not node["head"]), "jobs": jobs}

    def _get(self, job_id: str) -> JobDetails | None:
        return next((job for job in self.jobs() if job.submission_id == job_id), None)

    def _require(self, job_id: str) -> None:
        """Raises `ConfigError` if there is no such job."""
        if self._get(job_id) is not None:
            return
        known = ", ".join(str(job.submission_id) for job in self.jobs()[-5:]) or "none"
        raise ConfigError(f"{self.address} has no job {job_id!r}; the latest jobs are: {known}")

    def _call(self, request: Callable[[], Any]) -> Any:
        with translated_errors(self.address), addressed(self.address):
            return request()


def exit_status(job: JobDetails) -> int:
    """The exit status of an ended job's command.

    (Ray's own client returns 1 for every failure.) Raises `ClusterError` if the command did not end
    by itself: its node was lost, its environment could not be set up, or it was killed.
    """
    if job.status is JobStatus.SUCCEEDED:
        return 0
    if job.status is JobStatus.STOPPED:
        return 130
    code: int | None = job.driver_exit_code
    if code is not None and (0 < code < 128 or code == 130):
        return code
    reason = (job.message or "no reason given").strip().splitlines()[0]
    raise ClusterError(_lost(str(job.submission_id), reason))


def _lost(job_id: str, reason: str) -> str:
    return f"job {job_id} was lost ({reason}); submit it again: it resumes from its last checkpoint"
