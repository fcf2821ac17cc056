"""Ray Train's torch backend, with an ear for SIGTERM on every worker.

The training function runs in a thread, where Python delivers no signals. A backend's hooks run on
the worker's main thread, which also answers Ray Train's polls: so a handler that is set here runs
with the next poll at the latest.
"""

import signal
import threading
from dataclasses import dataclass
from types import FrameType
from typing import Any

from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend  # its hooks are documented, its name is not public

# Set once this worker's process got SIGTERM: a cloud, a scheduler or a person takes it away.
terminated = threading.Event()


@dataclass
class SignalledTorchConfig(TorchConfig):  # type: ignore[misc]  # Ray is not typed
    """As `TorchConfig`; workers note SIGTERM in `terminated` instead of dying of it."""

    @property
    def backend_cls(self) -> type:
        return _SignalledTorchBackend


class _SignalledTorchBackend(_TorchBackend):  # type: ignore[misc]  # Ray is not typed
    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        super().on_start(worker_group, backend_config)
        worker_group.execute(hear_sigterm)

    def on_shutdown(self, worker_group: Any, backend_config: TorchConfig) -> None:
        """Nothing: processes end with their group, and one that hangs would be waited for."""


def hear_sigterm() -> None:
    """Runs on a worker's main thread. A Ray that was started here has SIGTERM masked (`group`)."""

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        terminated.set()

    signal.signal(signal.SIGTERM, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
