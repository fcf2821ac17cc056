"""Signals while a library starts processes of its own, and while it blocks."""

import os
import signal
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

BLOCKED_S = 5.0  # how long a library may keep a signal from being handled
_blocked_in_children: frozenset[int] = frozenset()


def _block_in_child() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _blocked_in_children)


# The standard library calls this in every child that it forks with a `preexec_fn`.
os.register_at_fork(after_in_child=_block_in_child)


@contextmanager
def children_block(numbers: Iterable[int]) -> Iterator[None]:
    """Processes that fork inside this context block the signals, and so do those that they start.

    This process itself goes on hearing them. `subprocess` forks only with a `preexec_fn`.
    """
    global _blocked_in_children
    _blocked_in_children = frozenset(numbers)
    try:
        yield
    finally:
        _blocked_in_children = frozenset()


@contextmanager
def ended_if_blocked(
    numbers: Collection[int], patience_s: float = BLOCKED_S, status: int = 130
) -> Iterator[None]:
    """Inside, a signal ends this process even if a library keeps it from being handled.

    Python handles signals only between two bytecodes of the main thread. If the context does not
    end within `patience_s` after one of the signals, the process exits without any clean-up.
    """
    ended = threading.Event()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def watch() -> None:
        while received := os.read(reading, 1):
            if received[0] in numbers and not ended.wait(patience_s):
                os._exit(status)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        os.close(writing)  # ends the watcher
        watcher.join()
        os.close(reading)
