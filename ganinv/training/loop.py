"""The training loop: batch → step → report → checkpoint. It depends on no cluster or storage."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from ganinv.schedules import value_at
from ganinv.seams.batches import Batch, BatchSource
from ganinv.seams.engine import SumReduce
from ganinv.training.config import BatchLayout, TrainConfig
from ganinv.training.divergence import Guard
from ganinv.training.drawn import DrawnAhead, drawing
from ganinv.training.session import Session, train_batch
from ganinv.training.statistics import GRADIENT_NORM, LEARNING_RATE, SCHEDULE, SPEED
from ganinv.training.verdict import Ended

Row = dict[str, float]
TimeState = Literal[
    "compute", "data", "communicate", "checkpoint", "restart", "evaluate", "compile"
]


class Observer(Protocol):
    """Receives the events of a run, on every rank. An observer must not affect training."""

    def timed(self, state: TimeState) -> AbstractContextManager[object]:
        """Count the time spent inside for `state`, and not for an enclosing state."""
        ...

    def stepped(self, images: int, *, applied: bool) -> None:
        """A step on a global batch of `images` has ended; `applied`: it was not void.

        Called for each step in turn. On a GPU, the next step has begun by then.
        """
        ...

    def logged(self, row: Row, session: Session) -> None:
        """A new row of `metrics.jsonl`; except for times, it is equal on all ranks."""
        ...

    def went_back(self, images_seen: int, restored: int) -> None:
        """Training diverged at `images_seen` and resumes from the checkpoint at `restored`."""
        ...

    def stop_requested(self) -> bool:
        """Whether this rank was asked to save and stop."""
        ...


def run(
    session: Session,
    config: TrainConfig,
    layout: BatchLayout,
    *,
    source: BatchSource,
    reduce: SumReduce,
    observer: Observer,
    save: Callable[[], None],
    restore: Callable[[], str | None],
    evaluate: Callable[[], Row],
) -> bool:
    """Train until `config.images` images were seen. False if stopped early (after saving).

    `restore` returns the session to the newest intact checkpoint and gives
    its name; None if there is none. `evaluate` is called for every row; its row may be empty. After
    too many void steps in a row, training returns to the last checkpoint once. If training
    diverges again before it has passed that point, raises `DivergenceError` on all ranks.

    Where the host does not wait for steps (`Session.on_device`), it learns one step late whether a
    step was void, but before every row and every checkpoint.
    """
    loop = _Loop(session, config, layout, source, reduce, observer, save, evaluate)
    while (end := loop.train()) == "diverged":
        seen = session.images_seen
        with observer.timed("restart"):
            checkpoint = restore()
        if checkpoint is None or loop.guard.went_back_at is not None:
            raise loop.guard.error(checkpoint)
        loop.guard.went_back()
        observer.went_back(seen, session.images_seen)
    return end == "done"


@dataclass
class _Loop:
    """One call of `run`: its arguments, and the state that a return to a checkpoint keeps."""

    session: Session
    config: TrainConfig
    layout: BatchLayout
    source: BatchSource
    reduce: SumReduce
    observer: Observer
    save: Callable[[], None]
    evaluate: Callable[[], Row]

    def __post_init__(self) -> None:
        self.guard = Guard(limit=self.config.max_nonfinite_steps)

    def train(self) -> Literal["done", "stopped", "diverged"]:
        """Train from the session's current position."""
        session, config = self.session, self.config
        self._paced: tuple[float, int] = (time.monotonic(), session.images_seen)
        self._saved_at: int | None = None
        session.unsettled.clear()  # after a return to a checkpoint: steps that count no longer
        checkpoint_due = False  # stays set until a step is not void
        draw = drawing(session.objective.noise, config, session.device)
        with (
            closing(_batches(self.source, session)) as batches,
            closing(DrawnAhead(draw, config.global_batch)) as ahead,
        ):
            while session.images_seen < config.images:
                with self.observer.timed("data"):
                    batch = next(batches)
                    drawn = ahead.take(session.images_seen, batch.slots)
                # After loading the batch, so that no step waits for another rank's data.
                if _agree_to_stop(self.observer, self.reduce):
                    with self.observer.timed("compute"):
                        ended = session.settle()
                    if self._diverged(ended):
                        return "diverged"
                    self._save()
                    return "stopped"
                with self.observer.timed("compute"):
                    result = train_batch(session, batch, config, self.layout, self.reduce, drawn)
                    done = session.images_seen >= config.images
                    log_due = done or _due(session, config.log_every, config.global_batch)
                    checkpoint_due |= _due(session, config.checkpoint_every, config.global_batch)
                    wait = not session.on_device or log_due or checkpoint_due
                    ended = session.settle(keep=0 if wait else 1)
                if self._diverged(ended):
                    return "diverged"
                if log_due:
                    self._log()
                if done or (checkpoint_due and result.applied):
                    self._save()
                    checkpoint_due = False
        return "done"

    def _diverged(self, ended: Sequence[Ended]) -> bool:
        """Pass on the steps that have ended; whether training has diverged by the first of them."""
        for step in ended:
            self.observer.stepped(self.config.global_batch, applied=step.applied)
            if self.guard.stepped(step.images_seen, step.voids_in_a_row, step.nonfinite):
                return True
        return False

    def _log(self) -> None:
        session, config = self.session, self.config
        started, images_then = self._paced
        row = new_row(session, self.reduce)
        stepped_at = session.images_seen - config.global_batch  # when the last step began
        row[LEARNING_RATE] = value_at(config.rate, stepped_at)
        row |= {
            f"{SCHEDULE}{key}": schedule.at(stepped_at)
            for key, schedule in session.schedules.items()
        }
        row[SPEED] = (session.images_seen - images_then) / (time.monotonic() - started)
        with self.observer.timed("evaluate"):
            row |= self.evaluate()
        self.guard.logged(row)
        self.observer.logged(row, session)
        self._paced = (time.monotonic(), session.images_seen)

    def _save(self) -> None:
        if self._saved_at != self.session.images_seen:
            with self.observer.timed("checkpoint"):
                self.save()
            self._saved_at = self.session.images_seen


def new_row(session: Session, reduce: SumReduce) -> Row:
    """Means of the statistics since the last row, and the method's current figures."""
    return {
        "images_seen": session.images_seen,
        "wall_time": time.time(),
        **session.means.flush(reduce),
        **{
            f"{GRADIENT_NORM}{name}": engine.gradient_norm()
            for name, engine in session.engines.items()
        },
        **session.objective.figures(session.state_on_host()),
    }


def _batches(source: BatchSource, session: Session) -> Generator[Batch, None, None]:
    """The next batches. Closing this generator also closes the source's generator, if it is one."""
    yield from source.batches(session.position)


def _due(session: Session, every: int, global_batch: int) -> bool:
    """Whether the last step reached or passed a multiple of `every` images."""
    return session.images_seen // every > (session.images_seen - global_batch) // every


def _agree_to_stop(observer: Observer, reduce: SumReduce) -> bool:
    """True on all ranks in the same step, if any rank was asked to stop."""
    asked = torch.tensor(float(observer.stop_requested()), dtype=torch.float64)
    return bool(reduce(asked) > 0)
