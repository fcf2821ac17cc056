"""Ranks as threads of this process: collectives without processes, for tests of milliseconds."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from ganinv.seams.engine import SumReduce

T = TypeVar("T")


def on_threads(world: int, of_rank: Callable[[int, SumReduce], T]) -> list[T]:
    """What `of_rank(rank, reduce)` returns on each rank, in their order."""
    barrier = threading.Barrier(world, timeout=30)
    values: list[Tensor] = [torch.zeros(0)] * world

    def start(rank: int) -> T:
        def reduce(value: Tensor) -> Tensor:
            values[rank] = value
            barrier.wait()
            total = torch.stack(values).sum(0)
            barrier.wait()  # nobody goes on before all have read
            return total

        try:
            return of_rank(rank, reduce)
        except BaseException:
            barrier.abort()  # the other ranks need not wait for the timeout
            raise

    with ThreadPoolExecutor(world) as pool:
        return list(pool.map(start, range(world)))
