"""Harm that one worker of a real training does to itself, in the middle of a step.

It strikes in the backward pass of the discriminator, as a faulty kernel or a deadlock would. How
often it has struck is kept on disk, for the worker may not live to remember it.
"""

import ctypes
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ganinv.training import Session

LONG_S = 600  # longer than any limit of a test
HarmKind = Literal["nan", "holds_interpreter", "waits_for_ever"]


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
    from launch import worker

    plain = worker.build_session

    def build(*arguments: Any) -> Session:
        session = plain(*arguments)
        for number, harm in enumerate(harms):
            if harm.rank == rank():
                _arm(session, harm, folder / f"strikes-{number}")
        return session

    worker.build_session = build  # type: ignore[assignment]  # passes on what it is given


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

    next(iter(session.engines.d.network.parameters())).register_hook(strike)


def hang(harm: Harm, note: Path) -> None:
    """Never come back; `note` tells where this process logs to."""
    from launch.watching import own_log

    note.write_text(own_log())
    if harm.kind == "holds_interpreter":
        ctypes.PyDLL(None).sleep(LONG_S)
    else:
        threading.Event().wait(LONG_S)
