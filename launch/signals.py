"""Signals that end a command: Ctrl-C, SIGTERM, and SIGHUP, which a closing terminal sends.

The first one ends a command, or asks a training to save. Programs and shells send signals twice:
`timeout` signals its child and then the whole process group, a closing terminal sends SIGHUP itself
and by its shell. So only a second Ctrl-C, which a person types, cuts the end short.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_heard: list[int] = []  # all that this process has received, in order
_collecting: list[int] | None = None  # inside of `collected`: where the first one goes


def install() -> None:
    """From now on the first ending signal raises `KeyboardInterrupt` in the main thread.

    SIGHUP stays ignored under `nohup`. SIGINT does not: shells start the background jobs of scripts
    with SIGINT ignored, and `kill -INT` must end them nevertheless.
    """
    for number in ENDINGS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)


@contextmanager
def collected() -> Iterator[list[int]]:
    """Yields a list that receives the first ending signal, which does not interrupt anything.

    A second Ctrl-C interrupts. Only the main thread may call this.
    """
    global _collecting
    _collecting = []
    before = {number: signal.getsignal(number) for number in ENDINGS}
    install()
    try:
        yield _collecting
    finally:
        _collecting = None
        for number, handler in before.items():
            signal.signal(number, handler)


def _handle(number: int, frame: FrameType | None) -> None:
    del frame
    _heard.append(number)
    if len(_heard) == 1 and _collecting is not None:
        _collecting.append(number)
    elif len(_heard) == 1 or number == signal.SIGINT:
        raise KeyboardInterrupt
