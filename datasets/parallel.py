"""An ordered map over worker processes, with bounded work in flight."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 32  # items per task: enough to make the traffic between processes cheap


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """`map(function, items)`, computed by `workers` processes; in this one if there is one only.

    `function` and the items must pickle. At most two chunks a worker are under way, so that
    memory stays bounded when the consumer is slow. Closing the iterator ends the processes.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    rest = iter(items)
    # Fresh interpreters: forking a process in which threads run (torch, Ray) can deadlock.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    pending: deque[Future[list[Result]]] = deque()
    try:
        while True:
            while len(pending) < 2 * workers and (chunk := list(islice(rest, _CHUNK))):
                pending.append(pool.submit(_apply, function, chunk))
            if not pending:
                return
            yield from pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _apply(function: Callable[[Item], Result], chunk: list[Item]) -> list[Result]:
    return [function(item) for item in chunk]
