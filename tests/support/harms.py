"""Harm that one worker of a real training does to itself.

It strikes in the backward pass of the discriminator, as a faulty kernel or a deadlock would, or
between two steps, where a worker waits for its data. How often it has struck is kept on disk, for
the worker may not live to remember it.
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
HarmKind = Literal["nan", "holds_interpreter", "waits_for_ever", "gets_no_data"]


@dataclass(frozen=True, kw_only=True)
class Harm:
    """`at`: it strikes in the first steps that begin at so many images or later."""

    kind: HarmKind
    at: int
    times: int = 1  # steps
    rank: int = 1


def afflict(harms: list[Harm], folder: Path) -> None:
    """Let sessions of this worker come to harm; what happened is written to `folder`."""
    from cluster.collectives import rank
    from launch.wiring import worker

    plain, plain_source = worker.build_session, worker._source

    def source(*arguments: Any) -> Any:
        made: Any = plain_source(*arguments)
        for number, harm in enumerate(harms):
            if harm.rank == rank() and harm.kind == "gets_no_data":
                made = _Starving(made, harm, folder / f"strikes-{number}")
        return made

    def build(*arguments: Any) -> Session:
        session = plain(*arguments)
        for number, harm in enumerate(harms):
            if harm.rank == rank() and harm.kind != "gets_no_data":
                _arm(session, harm, folder / f"strikes-{number}")
        return session

    worker.build_session = build  # type: ignore[assignment]  # passes on what it is given
    worker._source = source  # type: ignore[assignment]  # has the verb that is called


class _Starving:
    """A source that once, after `harm.at` images of its own, gives nothing any more."""

    def __init__(self, source: BatchSource, harm: Harm, strikes: Path) -> None:
        self._source, self._harm, self._strikes = source, harm, strikes

    def batches(self, start: Position) -> Iterator[Batch]:
        given = 0
        for batch in self._source.batches(start):
            if given >= self._harm.at and not self._strikes.exists():
                self._strikes.touch()
                threading.Event().wait(LONG_S)
            given += len(batch.keys)
            yield batch


def _arm(session: Session, harm: Harm, strikes: Path) -> None:
    def strike(gradient: Tensor) -> Tensor | None:
        done = len(strikes.read_text().split()) if strikes.exists() else 0
        if session.images_seen < harm.at or done >= harm.times:
            return None
        with strikes.open("a") as file:
            file.write(f"{session.images_seen}\n")
        if harm.kind == "nan":
            return gradient * float("nan")
        hang(harm, strikes.with_name("log-of-the-hung"))
        return None

    next(iter(session.engines["d"].network.parameters())).register_hook(strike)


def hang(harm: Harm, note: Path) -> None:
    """Never come back; `note` tells where this process logs to."""
    from launch.wiring.watching import own_log

    note.write_text(own_log())
    if harm.kind == "holds_interpreter":
        ctypes.PyDLL(None).sleep(LONG_S)
    else:
        threading.Event().wait(LONG_S)
