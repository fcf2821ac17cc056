"""Ends a worker that makes no step in time, with the stacks of all its threads in its log.

The clock is `faulthandler`'s, a thread in C: it strikes even while some extension holds the
interpreter. Whatever a worker does has its own limit. Training steps have one learned from the
last steps; what is patient by itself (waits for data, one's own and that of other workers) has one
beyond its own deadline, so that it ends by that. No worker begins a step before all have their data
(`ganinv.training.loop`), so that a step never includes another's wait for data.
"""

import faulthandler
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from ganinv.training.loop import TimeState

REMEMBERED = 200  # steps
LEARNED = 10  # steps before their times say something
FACTOR = 10.0  # times the slowest of a hundred
SPARE_S = 30.0  # beyond the deadlines of others
OTHER_WORK_S = 3600.0  # evaluations, and checkpoints, which have deadlines of their own
STDERR = 2  # of the process: Ray leads it to the worker's log


class Watchdog:
    """The limits of one worker, in seconds. Ends the process with status 1."""

    def __init__(self, *, floor_s: float, first_s: float, patient_s: float) -> None:
        """`floor_s`: the least for a step; `first_s`: for one of the first; `patient_s`: for the
        longest wait that ends by itself."""
        self._floor_s = floor_s
        self._first_s = max(first_s, floor_s)
        self._patient_s = patient_s + SPARE_S
        self._steps_s: deque[float] = deque(maxlen=REMEMBERED)

    @property
    def step_limit_s(self) -> float:
        """How long the next step may take."""
        if len(self._steps_s) < LEARNED:
            return self._first_s
        p99 = sorted(self._steps_s)[int(0.99 * (len(self._steps_s) - 1))]
        return max(self._floor_s, FACTOR * p99)

    @contextmanager
    def watching(self, state: TimeState) -> Iterator[None]:
        """Inside, `state`'s limit holds; afterwards that of patience, until the next."""
        started = time.monotonic()
        if state == "compute":
            self._allow(self.step_limit_s)
        elif state != "data":
            self._allow(OTHER_WORK_S)
        yield
        if state == "compute":
            self._steps_s.append(time.monotonic() - started)
        if state != "data":  # before and after that holds the same
            self._allow(self._patient_s)

    def close(self) -> None:
        """From now on everything may take for ever."""
        faulthandler.cancel_dump_traceback_later()

    def _allow(self, seconds: float) -> None:
        faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)
