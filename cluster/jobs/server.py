"""A cluster's job server: submit a command of this checkout, follow it, and take its exit status.

Everything goes over HTTP (an SSH tunnel will do), with the cluster's token if it asks for one. A
job goes on when its client is lost; another one can follow it from the beginning of its log.
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
    translated_errors,
)
from cluster.jobs.shipping import runtime_environment
from ganinv.errors import ClusterError, ConfigError

PATIENCE_S = 120.0  # with a server that does not answer any more
TRAIN_WORKER = "RayTrainWorker"  # Ray Train's name for the actor of one rank
START_PATIENCE_S = 60.0  # with a head that has just been started
STOP_WAIT_S = 120  # a stopped job's time to save, before it is killed


class JobServer:
    """The job server at `address`, for example http://127.0.0.1:8265.

    Every verb raises `ClusterError` if the server cannot be reached or refuses the token.
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
        """Ship the checkout and start `python -m launch WORDS` in it; returns the job's id.

        `environment` and `metadata` can be read by everyone who may use the cluster. Raises
        `ConfigError` if `job_id` is taken.
        """
        if job_id is not None and self._get(job_id) is not None:
            raise ConfigError(
                f"submit.id = {job_id!r}: the cluster knows a job of that name; choose another"
            )
        variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S), **environment}
        deadline = time.monotonic() + START_PATIENCE_S
        while True:
            try:
                submitted: str = self._call(
                    lambda: self._client.submit_job(
                        # Without exec a signal would end the shell and leave the command.
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
        """Ask a job to save and end; it is killed after `STOP_WAIT_S`."""
        self._demand(job_id)
        self._call(lambda: self._client.stop_job(job_id))

    def follow(self, job_id: str, write: Callable[[str], object]) -> int:
        """Pass on a job's log from its beginning to its end; returns the command's exit status.

        130 if the job was stopped. Raises `ConfigError` if there is no such job, and `ClusterError`
        if it was lost, or if the server does not answer for `PATIENCE_S`.
        """
        self._demand(job_id)
        log = Log(write)
        heard = time.monotonic()
        while True:
            # The log is for reading; what became of the job is asked for below.
            with suppress(RuntimeError, OSError, aiohttp.ClientError):
                asyncio.run(log.read(self._client.tail_job_logs(job_id)))
            try:
                job = self._get(job_id)
            except UnreachableError:
                if time.monotonic() - heard > PATIENCE_S:
                    raise
            else:
                heard = time.monotonic()
                if job is None:
                    raise ClusterError(_lost(job_id, "the cluster's head was replaced"))
                if job.status.is_terminal():
                    return exit_status(job)
            time.sleep(1)

    def overview(self) -> dict[str, Any]:
        """Nodes with the workers placed on them, and jobs, as plain values (CPUs, Unix seconds)."""
        asked = {"address": self.address, "timeout": int(REQUEST_TIMEOUT_S), "limit": 10_000}
        alive = [("state", "=", "ALIVE"), ("class_name", "=", TRAIN_WORKER)]
        workers = Counter(
            a.node_id for a in self._call(lambda: list_actors(filters=alive, **asked))
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
            for node in self._call(lambda: list_nodes(**asked))
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

    def _demand(self, job_id: str) -> None:
        if self._get(job_id) is not None:
            return
        known = ", ".join(str(job.submission_id) for job in self.jobs()[-5:]) or "none"
        raise ConfigError(f"{self.address} knows no job {job_id!r}; the latest ones are: {known}")

    def _call(self, request: Callable[[], Any]) -> Any:
        with translated_errors(self.address):
            return request()


def exit_status(job: JobDetails) -> int:
    """The exit status of an ended job's command, as if it had been typed here.

    Ray's own client says 1 for every failure. Raises `ClusterError` where the command did not end
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
    return f"job {job_id} was lost ({reason}); submit it again: it goes on from its last checkpoint"
