"""The watchdog ends a worker that hangs in a step, and gives every other activity its own limit."""

import subprocess
import sys
import textwrap

import pytest

from cluster.workers import watchdog
from cluster.workers.endings import hung_at
from cluster.workers.watchdog import FACTOR, LEARNED, OTHER_WORK_S, SPARE_S, Watchdog

# Only the limit of the last step, the one that hangs, is short: no load can end the process before.
HANGS = """
    import ctypes, sys
    sys.path.insert(0, ".")
    from cluster.workers import watchdog
    dog = watchdog.Watchdog(floor_s=0.3, first_s=60.0, patient_s=60.0)

    def train_worker():
        for _ in range(watchdog.LEARNED):
            with dog.watching("compute"):
                pass
        stuck()

    def stuck():
        with dog.watching("compute"):
            ctypes.PyDLL(None).sleep(50)  # holds the interpreter lock

    train_worker()
"""


@pytest.mark.integration
def test_a_step_that_holds_the_interpreter_is_ended_and_its_place_is_logged() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HANGS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert hung_at(done.stderr) == "in stuck (<string>:15)"


class Timer:
    """In place of `faulthandler`: keeps the limit that is set, None after it was cancelled."""

    def __init__(self) -> None:
        self.limit_s: float | None = None

    def dump_traceback_later(self, limit_s: float, *, exit: bool, file: int) -> None:
        assert exit
        assert file == sys.__stderr__.fileno()  # type: ignore[union-attr]  # tests have one
        self.limit_s = limit_s

    def cancel_dump_traceback_later(self) -> None:
        self.limit_s = None


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch) -> Timer:
    timer = Timer()
    monkeypatch.setattr(watchdog, "faulthandler", timer)
    return timer


def test_every_activity_has_its_own_limit_and_close_switches_the_timer_off(timer: Timer) -> None:
    dog = Watchdog(floor_s=7.0, first_s=120.0, patient_s=300.0)
    with dog.watching("compute"):
        assert timer.limit_s == 120.0
    for state, limit_s in (
        ("data", 300.0 + SPARE_S),
        ("checkpoint", OTHER_WORK_S),
        ("evaluate", OTHER_WORK_S),
        ("restart", OTHER_WORK_S),
    ):
        with dog.watching(state):  # type: ignore[arg-type]  # one of `TimeState`
            assert timer.limit_s == limit_s, state
        assert timer.limit_s == 300.0 + SPARE_S, state
    dog.close()
    assert timer.limit_s is None


def test_an_error_inside_a_step_leaves_the_timer_on_until_close(timer: Timer) -> None:
    dog = Watchdog(floor_s=7.0, first_s=120.0, patient_s=300.0)
    with pytest.raises(ValueError, match="in a step"), dog.watching("compute"):
        raise ValueError("in a step")
    assert timer.limit_s == 120.0
    dog.close()
    assert timer.limit_s is None


def test_the_limit_follows_the_durations_of_recent_steps(
    timer: Timer, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    with dog.watching("compute"):
        assert timer.limit_s == FACTOR * 2.0


def test_a_step_that_compiles_has_the_time_for_it_and_teaches_nothing(
    timer: Timer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late in a run, as at a step of a schedule; other workers may compile for longer."""
    now = [0.0]
    monkeypatch.setattr("cluster.workers.watchdog.time.monotonic", lambda: now[0])
    dog = Watchdog(floor_s=7.0, first_s=120.0, patient_s=300.0)
    for _ in range(LEARNED):
        with dog.watching("compute"):
            now[0] += 0.5
    with dog.watching("compute"):
        assert timer.limit_s == 7.0
        with dog.watching("compile"):
            assert timer.limit_s == OTHER_WORK_S
            now[0] += 500.0
        assert timer.limit_s == OTHER_WORK_S
    assert timer.limit_s == 300.0 + SPARE_S
    with dog.watching("compute"):
        assert timer.limit_s == 7.0


def test_a_log_without_a_timeout_shows_no_hang() -> None:
    assert hung_at("RuntimeError: Connection closed by peer") is None
    assert hung_at("Timeout (0:00:07)!\nThread 0x1 (most recent call first):\n") is not None
