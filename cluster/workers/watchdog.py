"""Ends a worker that exceeds its time limit, and writes the stacks of all threads to its log.

The timer is `faulthandler`'s, a thread in C, so it fires even while an extension holds the
interpreter lock. Each activity has its own limit. The limit of a training step follows from the
durations of recent steps. A step that compiles or captures has a limit of its own from there on,
because other workers may compile for longer, and says nothing of later steps. A wait for data (a
worker's own or another worker's) has a deadline; the watchdog's limit is longer, so that the wait
ends with its own error. No worker starts a step before all workers have their data
(`ganinv.training.loop`), so a step never includes another worker's wait for data.
"""

import faulthandler
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from ganinv.training.loop import TimeState

REMEMBERED = 200  # steps whose durations are kept
LEARNED = 10  # steps before the limit follows from their durations
FACTOR = 10.0  # the limit of a step, as a multiple of the recent 99th percentile
SPARE_S = 30.0  # added to the longest deadline of a wait
OTHER_WORK_S = 3600.0  # of an evaluation, a compilation, or a save, which has its own deadlines
STDERR = 2  # file descriptor; Ray directs it to the worker's log


class Watchdog:
    """The limits of one worker, in seconds. Ends the process with status 1."""

    def __init__(self, *, floor_s: float, first_s: float, patient_s: float) -> None:
        """`floor_s`: the least limit of a step. `first_s`: the limit of the first `LEARNED` steps.
        `patient_s`: the longest deadline of a wait for data or for another worker."""
        self._floor_s = floor_s
        self._first_s = max(first_s, floor_s)
        self._patient_s = patient_s + SPARE_S
        self._steps_s: deque[float] = deque(maxlen=REMEMBERED)
        self._compiled = False  # in the present step

    @property
    def step_limit_s(self) -> float:
        """The limit of the next step."""
        if len(self._steps_s) < LEARNED:
            return self._first_s
        p99 = sorted(self._steps_s)[int(0.99 * (len(self._steps_s) - 1))]
        return max(self._floor_s, FACTOR * p99)

    @contextmanager
    def watching(self, state: TimeState) -> Iterator[None]:
        """Inside the context, the limit of `state` applies; afterwards, the limit of a wait.

        After a compilation inside a step, its own limit goes on until the step ends.
        """
        if state == "compile":
            self._compiled = True
            self._allow(OTHER_WORK_S)
            yield
            return
        started = time.monotonic()
        if state == "compute":
            self._compiled = False
            self._allow(self.step_limit_s)
        elif state != "data":
            self._allow(OTHER_WORK_S)
        yield
        if state == "compute" and not self._compiled:
            self._steps_s.append(time.monotonic() - started)
        if state != "data":  # the limit of a wait applied already
            self._allow(self._patient_s)

    def close(self) -> None:
        """Switch the timer off."""
        faulthandler.cancel_dump_traceback_later()

    def _allow(self, seconds: float) -> None:
        faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)
