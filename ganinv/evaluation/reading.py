"""Images that are read while the device computes."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

MOST_READERS = 4  # threads that read and decode images
Found = TypeVar("Found")


def read_ahead(
    read: Callable[[range], Found], asked: Iterable[range]
) -> Generator[Found, None, None]:
    """`read` of every range, in order, some of them ahead in threads. Close it to end the threads.

    At most two more ranges than threads are held.
    """
    readers = min(MOST_READERS, torch.get_num_threads())
    pending: deque[Future[Found]] = deque()
    pool = ThreadPoolExecutor(readers, thread_name_prefix="read-ahead")
    try:
        for numbers in asked:
            pending.append(pool.submit(read, numbers))
            if len(pending) > readers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
