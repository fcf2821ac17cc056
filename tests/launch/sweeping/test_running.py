"""Commands side by side: what is heard of them, how they end, how they are stopped."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from launch.sweeping.running import Ended, Job, Progress, run_jobs

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]
PRINTS = "print('starting\\n8/16 images  d 1.2\\n16/16 images  d 1.0', flush=True)"
# Ends as a training does that saves when it is asked to.
SAVES = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\n"
    "print('1/16 images', flush=True)\n"
    "time.sleep(60)"
)
FAILS = (
    "import sys; print('error: a = 1: no\\nerror: b = 2: never\\nsuch', flush=True); sys.exit(3)"
)


def job(name: str, program: str) -> Job:
    return Job(name, [sys.executable, "-S", "-c", program])


def ignore(*_: object) -> None:
    pass


def run(
    *jobs: Job, at_once: int, progressed: Callable[[Job, Progress], None] = ignore
) -> tuple[bool, dict[str, Ended], list[str]]:
    """Whether all ran, how they ended, and what happened in which order."""
    ends: dict[str, Ended] = {}
    events: list[str] = []

    def ended(one: Job, how: Ended) -> None:
        ends[one.name] = how
        events.append(f"-{one.name}")

    environments = [{"SLOT": str(number)} for number in range(at_once)]
    finished = run_jobs(
        jobs,
        environments,
        started=lambda one: events.append(f"+{one.name}"),
        progressed=progressed,
        ended=ended,
    )
    return finished, ends, events


def test_one_after_the_other_and_one_failure_stops_no_other() -> None:
    heard: list[Any] = []
    finished, ends, events = run(
        job("a", PRINTS),
        job("b", FAILS),
        job("c", "import os; os.kill(os.getpid(), 9)"),
        job("d", "import os; print(os.environ['SLOT'])"),
        at_once=1,
        progressed=lambda one, progress: heard.append((one.name, progress)),
    )
    assert finished
    assert events == ["+a", "-a", "+b", "-b", "+c", "-c", "+d", "-d"]
    assert [ends[name].status for name in "abcd"] == [0, 3, -9, 0]
    assert heard[-1] == ("a", Progress(16, "d 1.0"))
    assert ends["b"].reason == "b = 2: never\nsuch"
    assert ends["c"].reason == "ended with status -9"
    assert ends["d"].output.strip() == "0"


def test_side_by_side_and_a_signal_asks_all_to_save_and_starts_no_more() -> None:
    ready = set()

    def both_ready(one: Job, _: Progress) -> None:
        ready.add(one.name)
        if len(ready) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    finished, ends, events = run(
        job("a", SAVES), job("b", SAVES), job("c", PRINTS), at_once=2, progressed=both_ready
    )
    assert not finished
    assert events[:2] == ["+a", "+b"]
    assert {name: end.status for name, end in ends.items()} == {"a": 130, "b": 130}
