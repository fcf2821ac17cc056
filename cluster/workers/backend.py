"""Ray Train's torch backend, extended so that every worker records SIGTERM.

The training function runs in a thread, but Python delivers signals to the main thread only. A
backend's hooks run on the worker's main thread, which also answers Ray Train's polls. So a handler
that is installed there runs no later than the next poll.
"""

import os
from dataclasses import dataclass
from typing import Any

import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend  # its hooks are documented, its name is not public

from cluster.workers.own_start import end_phase
from cluster.workers.sigterm import record_sigterm

ANSWER_S = 1.0  # a working worker answers at once


@dataclass
class SignalledTorchConfig(TorchConfig):  # type: ignore[misc]  # Ray is not typed
    """As `TorchConfig`, but SIGTERM sets `sigterm_received` instead of killing the worker."""

    @property
    def backend_cls(self) -> type:
        return _SignalledTorchBackend


class _SignalledTorchBackend(_TorchBackend):  # type: ignore[misc]  # Ray is not typed
    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        worker_group.execute(end_phase, "worker imports")
        super().on_start(worker_group, backend_config)
        worker_group.execute(record_sigterm)
        worker_group.execute(end_phase, "process group")

    def on_shutdown(self, worker_group: Any, backend_config: TorchConfig) -> None:  # noqa: ARG002 (its signature)
        """Kill workers that do not answer, because Ray Train would wait for them.

        The process groups end with their processes, so there is nothing else to shut down.
        """
        answers = worker_group.execute_async(os.getpid)
        answered, _ = ray.wait(answers, num_returns=len(answers), timeout=ANSWER_S)
        for worker, answer in zip(worker_group.get_workers(), answers, strict=True):
            if answer not in answered:
                ray.kill(worker.actor)
