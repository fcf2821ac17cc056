"""The time that work takes, with as little of other programs' influence as there is.

On a processor with one thread, its processor time; on several threads, time on the wall; on a GPU,
time on the wall until the GPU has finished.
"""

import math
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch


class Spread(NamedTuple):
    """Seconds."""

    median: float
    least: float
    most: float


class Clock:
    def __init__(self, device: torch.device) -> None:
        self.on_gpu = device.type == "cuda"
        self.processor_time = not self.on_gpu and torch.get_num_threads() == 1
        self._now = time.process_time if self.processor_time else time.perf_counter

    def seconds(self, work: Callable[[], object], times: int = 1) -> float:
        """How long `work` takes, on average over `times` calls."""
        self.wait()
        start = self._now()
        for _ in range(times):
            work()
        self.wait()
        return (self._now() - start) / times

    def spread(self, work: Callable[[], object], repeats: int) -> Spread:
        found = [self.seconds(work) for _ in range(repeats)]
        return Spread(statistics.median(found), min(found), max(found))

    def best(self, work: Callable[[], object], repeats: int, least_s: float = 0.002) -> float:
        """The shortest time of `repeats` measurements, each of which lasts `least_s` or more."""
        work()  # the first call prepares what later calls find prepared
        times = math.ceil(least_s / max(self.seconds(work), 1e-7))
        return min(self.seconds(work, times) for _ in range(repeats))

    def wait(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()
