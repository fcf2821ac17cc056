"""Runs jobs one after the other until the time is up; notes what was left out and what failed."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu.jobs import Job
from ganinv.precision import DETERMINISTIC

HERE = Path(__file__).parents[2]
LEAST_S = 15.0  # a job that has less time is left out


class Budget:
    """The time that is left of `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        return max(0.0, self._end - time.monotonic())


def run_jobs(
    jobs: Sequence[Job], budget: Budget, device: str, *, short: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of all jobs that had time, and the names of all batches that had none."""
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    for job in jobs:
        names = [f"{job.name}, {n} images" for n in job.images] or [job.name]
        if budget.left_s < LEAST_S:
            left_out += names
            continue
        print(f"{job.name} … ({budget.left_s:.0f} s left)", flush=True)
        found, problem = run_job(job, budget, device, short=short)
        rows += [{**asdict(job), "name": job.name, **row} for row in found]
        if problem == "time":
            left_out += names[len(found) :]
        elif problem is not None:
            rows.append({**asdict(job), "name": job.name, "failed": problem})
    return rows, left_out


def run_job(
    job: Job, budget: Budget, device: str, *, short: bool
) -> tuple[list[dict[str, Any]], str | None]:
    """The lines of a job; None, or `time` if it was stopped for it, or the end of its error."""
    with tempfile.TemporaryDirectory() as folder:
        words = json.dumps({**asdict(job), "device": device, "short": short})
        command = [sys.executable, "-m", "benchmarks.gpu.steps", words, f"{folder}/meeting"]
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        with output.open("w") as stdout, errors.open("w") as stderr:
            statuses = _end_of(
                [
                    subprocess.Popen(  # noqa: S603 (ourselves)
                        command,
                        stdout=stdout if rank == 0 else subprocess.DEVNULL,
                        stderr=stderr,
                        cwd=HERE,
                        env=_environment(job, rank),
                        start_new_session=True,
                    )
                    for rank in range(job.gpus)
                ],
                budget,
            )
        lines = [json.loads(line) for line in output.read_text().splitlines() if line[:1] == "{"]
        if statuses is None:
            return lines, "time"
        return lines, errors.read_text()[-600:].strip() if any(statuses) else None


def _end_of(processes: Sequence["subprocess.Popen[bytes]"], budget: Budget) -> list[int] | None:
    """The statuses of all processes; None if one was ended because the time is up. None is left."""
    in_time = True
    try:
        for process in processes:
            process.wait(timeout=budget.left_s)
    except subprocess.TimeoutExpired:
        in_time = False
    for process in processes:  # and what they have started, such as compilers
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return [process.returncode for process in processes] if in_time else None


def _environment(job: Job, rank: int) -> dict[str, str]:
    return os.environ | {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(job.gpus),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511",
        **(DETERMINISTIC if job.deterministic else {}),
    }  # fmt: skip


def run_tests(budget: Budget, *, whole: bool) -> dict[str, Any]:
    """The tests marked `gpu`: those in this process, or (`whole`) those that train with Ray."""
    chosen = "gpu and integration" if whole else "gpu and not integration"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        chosen,
        "-p",
        "no:cacheprovider",
        "tests",
    ]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(  # noqa: S603 (ourselves)
            command, stdout=output, cwd=HERE, start_new_session=True
        )
        statuses = _end_of([process], budget)
        output.seek(0)
        end = output.read().splitlines()[-5:]
    return {"chosen": chosen, "passed": None if statuses is None else not any(statuses), "end": end}
