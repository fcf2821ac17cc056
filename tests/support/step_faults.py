"""Faults inside a step of one worker of a real training: a hang, NaN gradients, missing data.

A fault strikes in the backward pass of the discriminator, like a faulty kernel or a deadlock, or
between two steps, where a worker waits for its data. Files count how often each fault has struck,
because the worker may not survive it.
"""

import ctypes
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ganinv.seams.batches import Batch, BatchSource, Position
from ganinv.training.session import Session

LONG_S = 600  # longer than any limit of a test
StepFaultKind = Literal["nan", "holds_interpreter", "waits_for_ever", "gets_no_data"]


@dataclass(frozen=True, kw_only=True)
class StepFault:
    """Strikes in the first `times` steps that begin at `at` images or later, on one rank."""

    kind: StepFaultKind
    at: int
    times: int = 1  # steps
    rank: int = 1


def inject(faults: list[StepFault], folder: Path) -> None:
    """Let sessions of this worker meet the faults; files in `folder` record what happened."""
    from cluster.collectives import rank
    from launch.wiring import worker

    plain_build, plain_source = worker.build_session, worker._source

    def source(*arguments: Any) -> Any:
        made: Any = plain_source(*arguments)
        for number, fault in enumerate(faults):
            if fault.rank == rank() and fault.kind == "gets_no_data":
                made = _StalledSource(made, fault, folder / f"strikes-{number}")
        return made

    def build(*arguments: Any) -> Session:
        session = plain_build(*arguments)
        for number, fault in enumerate(faults):
            if fault.rank == rank() and fault.kind != "gets_no_data":
                _inject_into_backward(session, fault, folder / f"strikes-{number}")
        return session

    worker.build_session = build  # type: ignore[assignment]  # passes its arguments on
    worker._source = source  # type: ignore[assignment]  # implements the one method that is called


class _StalledSource:
    """A source that stops once, for ever, after `fault.at` images of its own."""

    def __init__(self, source: BatchSource, fault: StepFault, strikes: Path) -> None:
        self._source, self._fault, self._strikes = source, fault, strikes

    def batches(self, start: Position) -> Iterator[Batch]:
        given = 0
        for batch in self._source.batches(start):
            if given >= self._fault.at and not self._strikes.exists():
                self._strikes.touch()
                threading.Event().wait(LONG_S)
            given += len(batch.keys)
            yield batch


def _inject_into_backward(session: Session, fault: StepFault, strikes: Path) -> None:
    def strike(gradient: Tensor) -> Tensor | None:
        done = len(strikes.read_text().split()) if strikes.exists() else 0
        if session.images_seen < fault.at or done >= fault.times:
            return None
        with strikes.open("a") as file:
            file.write(f"{session.images_seen}\n")
        if fault.kind == "nan":
            return gradient * float("nan")
        hang(fault, strikes.with_name("log-of-the-hung"))
        return None

    next(iter(session.engines["d"].network.parameters())).register_hook(strike)


def hang(fault: StepFault, note: Path) -> None:
    """Never return; `note` receives the path of this process's log."""
    from launch.wiring.watching import own_log

    note.write_text(own_log())
    if fault.kind == "holds_interpreter":
        ctypes.PyDLL(None).sleep(LONG_S)
    else:
        threading.Event().wait(LONG_S)
