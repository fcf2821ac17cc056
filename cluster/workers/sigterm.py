"""SIGTERM on a worker: it is recorded, so that the worker can save, and does not kill.

Apart from `cluster.workers.backend`, so that a process which only reads the record need not import
Ray Train, which takes a second.
"""

import signal
import threading
from types import FrameType

# Set once this process has received SIGTERM: a cloud, a scheduler or a person removes the worker.
sigterm_received = threading.Event()


def record_sigterm() -> None:
    """Install the handler. Call on a worker's main thread.

    A local Ray starts its workers with SIGTERM blocked (`cluster.workers.group`), so unblock it.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        sigterm_received.set()

    signal.signal(signal.SIGTERM, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
