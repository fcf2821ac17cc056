"""A worker that hangs ends itself, by the clock of what it does; one that waits does not."""

import subprocess
import sys
import textwrap
import time

import pytest

from cluster.workers.endings import hung_at
from cluster.workers.watchdog import FACTOR, LEARNED, Watchdog

START = """
    import ctypes, sys, time
    sys.path.insert(0, ".")
    from cluster.workers import watchdog
    watchdog.SPARE_S = 0.0
    dog = watchdog.Watchdog(floor_s=0.3, first_s=1.0, patient_s=20.0)

    def train_worker(work):
        for _ in range(watchdog.LEARNED):
            with dog.watching("compute"):
                time.sleep(0.01)
        work()
"""


def ran(work: str) -> tuple[int, str, float]:
    """Status, standard error and seconds of a process that trains and then does `work`."""
    program = textwrap.dedent(START) + textwrap.dedent(work)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr, time.monotonic() - started


def test_a_step_that_holds_the_interpreter_is_ended_and_tells_where() -> None:
    status, log, _ = ran("""
        def stuck():
            with dog.watching("compute"):
                ctypes.PyDLL(None).sleep(30)  # keeps the interpreter's lock

        train_worker(stuck)
    """)
    assert status == 1
    assert hung_at(log) == "in stuck (<string>:16)"


def test_patience_is_no_hang_and_an_error_disarms() -> None:
    status, log, _ = ran("""
        def patient():
            for state in ("data", "checkpoint", "evaluate", "restart"):
                with dog.watching(state):
                    time.sleep(0.5)
            dog.close()
            time.sleep(0.5)

        train_worker(patient)
    """)
    assert (status, log) == (0, "")


def test_the_limit_follows_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    dog = Watchdog(floor_s=7.0, first_s=120.0, patient_s=300.0)
    now = [0.0]
    monkeypatch.setattr("cluster.workers.watchdog.time.monotonic", lambda: now[0])
    for number in range(LEARNED):
        assert dog.step_limit_s == 120.0, number
        with dog.watching("compute"):
            now[0] += 0.5
    assert dog.step_limit_s == 7.0
    for _ in range(3 * LEARNED):
        with dog.watching("compute"):
            now[0] += 2.0
    assert dog.step_limit_s == FACTOR * 2.0
    dog.close()


def test_a_log_without_a_timeout_tells_of_no_hang() -> None:
    assert hung_at("RuntimeError: Connection closed by peer") is None
    assert hung_at("Timeout (0:00:07)!\nThread 0x1 (most recent call first):\n") is not None
