"""Ordered maps over processes and threads, with bounded work in flight."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection
from typing import TypeVar

from ganinv.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

IO_THREADS = 16  # requests to storage under way at a time

# Below this, starting processes takes longer than they save.
_MIN_IMAGES_FOR_PROCESSES = 512


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def processes_for(images: int) -> int:
    """How many are worth starting to draw or decode so many images."""
    return cores() if images >= _MIN_IMAGES_FOR_PROCESSES else 1


def map_processes(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """`map(function, items)`, computed by `workers` processes; in this one if there is one only.

    `function` and the items must pickle. At most two items a worker are under way, so that
    memory stays bounded when the consumer is slow. Closing the iterator ends the processes, and
    so does the death of this one. Raises `DataError` if a process is ended from outside.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    # Fresh interpreters: forking a process in which threads run (torch, Ray) can deadlock.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    try:
        yield from _in_order(pool, function, items, 2 * workers)
    except BrokenProcessPool as problem:
        raise DataError(
            "a worker process was ended from outside, mostly for lack of memory; free some, or"
            " lower data.workers where data are built, then repeat the command"
        ) from problem


def map_threads(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Generator[Result, None, None]:
    """`map(function, items)`, by threads: for work that waits for storage, or leaves the GIL."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ganinv-data")
    return _in_order(pool, function, items, 2 * threads)


def _in_order(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], most: int
) -> Generator[Result, None, None]:
    rest = iter(items)
    pending: deque[Future[Result]] = deque()
    try:
        while True:
            pending.extend(
                pool.submit(function, item) for item in islice(rest, most - len(pending))
            )
            if not pending:
                return
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """A pool's processes wait for work for ever if the one that started them is killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# Called with images done, images in total (0 if unknown), bytes written or read so far.
Progress = Callable[[int, int, int], None]


def no_progress(done: int, total: int, size_bytes: int) -> None:
    """For those who do not watch."""
