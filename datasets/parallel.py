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

IO_THREADS = 16  # concurrent requests to storage

# With fewer images, starting processes takes longer than they save.
_MIN_IMAGES_FOR_PROCESSES = 512


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def processes_for(images: int) -> int:
    """How many processes are worth starting to draw or decode `images` images."""
    return cores() if images >= _MIN_IMAGES_FOR_PROCESSES else 1


def map_processes(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """`map(function, items)`, computed by `workers` processes; by this process if `workers` ≤ 1.

    `function` and the items must pickle. At most two items per worker are in flight, so memory
    stays bounded when the consumer is slow. The worker processes end when the iterator is closed
    or when this process dies. Raises `DataError` if a worker process is killed.
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
            "a worker process was killed, most likely because memory ran out; free some memory (or,"
            " if a data set is being built, lower data.workers), then repeat the command"
        ) from problem


def map_threads(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Generator[Result, None, None]:
    """`map(function, items)`, by threads: for work that waits for storage or releases the GIL."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ganinv-data")
    return _in_order(pool, function, items, 2 * threads)


def _in_order(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], max_in_flight: int
) -> Generator[Result, None, None]:
    rest = iter(items)
    pending: deque[Future[Result]] = deque()
    try:
        while True:
            pending.extend(
                pool.submit(function, item) for item in islice(rest, max_in_flight - len(pending))
            )
            if not pending:
                return
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Ends this process once its parent dies; otherwise it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# Called with the images done, the images in total (0 if unknown) and the bytes handled so far.
Progress = Callable[[int, int, int], None]


def no_progress(done: int, total: int, size_bytes: int) -> None:
    """Shows nothing."""
