"""Ray Train's torch backend, with an ear for SIGTERM on every worker.

The training function runs in a thread, where Python delivers no signals. A backend's hooks run on
the worker's main thread, which also answers Ray Train's polls: so a handler that is set here runs
with the next poll at the latest.
"""

import os
import signal
import threading
from dataclasses import dataclass
from types import FrameType
from typing import Any

import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend  # its hooks are documented, its name is not public

ANSWER_S = 1.0  # a worker that works answers at once
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

    def on_shutdown(self, worker_group: Any, backend_config: TorchConfig) -> None:  # noqa: ARG002 (its signature)
        """End what does not answer: Ray Train would wait for it. Processes end with their group,
        so there is nothing else to take down."""
        answers = worker_group.execute_async(os.getpid)
        answered, _ = ray.wait(answers, num_returns=len(answers), timeout=ANSWER_S)
        for worker, answer in zip(worker_group.get_workers(), answers, strict=True):
            if answer not in answered:
                ray.kill(worker.actor)


def hear_sigterm() -> None:
    """Runs on a worker's main thread. A Ray that was started here has SIGTERM masked (`group`)."""

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        terminated.set()

    signal.signal(signal.SIGTERM, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
