"""Batches that fit the memory of a device, and images that are read while it computes."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from ganinv.errors import ConfigError

log = logging.getLogger(__name__)
MOST_READERS = 4  # threads that read and decode images
Found = TypeVar("Found")


class Fitting:
    """Does work on images in pieces that fit the device's memory.

    A piece that does not fit is done again in halves, and so are all later ones.
    """

    def __init__(self, most: int) -> None:
        """`most`: images of a piece, at most."""
        self.most = most

    def over(self, count: int, work: Callable[[slice], Found]) -> Iterator[Found]:
        """The results of `work` on consecutive pieces of `count` images.

        Raises `ConfigError` if not even one image fits.
        """
        start = 0
        while start < count:
            size = min(self.most, count - start)
            try:
                found = work(slice(start, start + size))
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise ConfigError(
                        "evaluate: not even one image fits the device's memory beside the "
                        f"training ({str(error).partition('. ')[0]}); give a smaller "
                        "train.micro_batch, or a GPU with more memory"
                    ) from None
            else:
                yield found
                start += size
                continue
            # Here, because the error holds the tensors of the piece.
            self.most = size // 2
            log.warning(
                "%d images do not fit the device's memory; evaluating %d at a time", size, self.most
            )
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()


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
