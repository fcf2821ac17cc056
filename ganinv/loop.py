"""The training loop: batch → step → report → checkpoint. It knows no cluster and no storage."""

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing
from typing import Literal, Protocol

import torch

from ganinv.errors import DivergenceError
from ganinv.latent_scale import active_elements, effective_elements, latent_entropy_nats
from ganinv.seams import Batch, BatchSource, SumReduce
from ganinv.training import Session, Split, TrainConfig, train_batch

Row = dict[str, float]
TimeState = Literal["compute", "data", "communicate", "checkpoint", "restart", "evaluate"]


class Observer(Protocol):
    """Whoever watches a run. Called on every rank; none of it may change the course of training."""

    def timed(self, state: TimeState) -> AbstractContextManager[object]:
        """Count the time spent inside toward a state, and not toward one that it is nested in."""
        ...

    def stepped(self, images: int, *, applied: bool) -> None:
        """A global batch of `images` was trained; `applied`: its update was not void."""
        ...

    def logged(self, row: Row, session: Session) -> None:
        """A row of `metrics.jsonl`, equal on all ranks but for times."""
        ...

    def stop_requested(self) -> bool:
        """Whether this rank was asked to save and end."""
        ...


def run(
    session: Session,
    config: TrainConfig,
    split: Split,
    *,
    source: BatchSource,
    reduce: SumReduce,
    observer: Observer,
    save: Callable[[], None],
    evaluate: Callable[[], Row],
) -> bool:
    """Train until `config.images` were seen. False if it was asked to stop before (after saving).

    `evaluate` is called for every row and may return nothing. Raises `DivergenceError` after too
    many void steps in a row, on all ranks alike.
    """
    started, images_then = time.monotonic(), session.images_seen
    with closing(_batches(source, session)) as batches:
        while session.images_seen < config.images:
            with observer.timed("data"):
                batch = next(batches)
            with observer.timed("compute"):
                applied = train_batch(session, batch, config, split, reduce)
            observer.stepped(config.global_batch, applied=applied)
            _check_divergence(session, config)
            stopping = _agree_to_stop(observer, reduce)
            done = session.images_seen >= config.images
            if done or _due(session, config.log_every, config.global_batch):
                row = describe(session, reduce)
                row["learning_rate"] = config.learning_rate_at(
                    session.images_seen - config.global_batch
                )
                row["throughput/images_per_second"] = (session.images_seen - images_then) / (
                    time.monotonic() - started
                )
                with observer.timed("evaluate"):
                    row |= evaluate()
                observer.logged(row, session)
                started, images_then = time.monotonic(), session.images_seen
            if done or stopping or _due(session, config.checkpoint_every, config.global_batch):
                with observer.timed("checkpoint"):
                    save()
            if stopping:
                return done
    return True


def describe(session: Session, reduce: SumReduce) -> Row:
    """Means of the losses since the last row, and the latent statistics as they stand."""
    variance_L = session.objective.variances(session.state)["fake"]
    return {
        "images_seen": session.images_seen,
        "wall_time": time.time(),
        **session.means.flush(reduce),
        "grad_norm/g": session.engines.g.gradient_norm(),
        "grad_norm/d": session.engines.d.gradient_norm(),
        "latent/entropy_nats": latent_entropy_nats(session.objective.scale(session.state)),
        "latent/active": active_elements(variance_L),
        "latent/effective": effective_elements(variance_L),
    }


def _batches(source: BatchSource, session: Session) -> Generator[Batch, None, None]:
    """The batches to come; closing it closes the source's iterator, if that is one to be closed."""
    yield from source.batches(session.position)


def _due(session: Session, every: int, global_batch: int) -> bool:
    """Whether the step just done passed a multiple of `every` images."""
    return session.images_seen // every > (session.images_seen - global_batch) // every


def _agree_to_stop(observer: Observer, reduce: SumReduce) -> bool:
    """True on all ranks in the same step, if any of them was asked."""
    asked = torch.tensor(float(observer.stop_requested()), dtype=torch.float64)
    return bool(reduce(asked) > 0)


def _check_divergence(session: Session, config: TrainConfig) -> None:
    if session.nonfinite_in_a_row >= config.max_nonfinite_steps:
        raise DivergenceError(
            f"{session.nonfinite_in_a_row} steps in a row gave losses or gradients that are not "
            f"finite (images_seen = {session.images_seen}); lower train.learning_rate or raise "
            "objective.lambda_r1, then start again: the last checkpoint is still good"
        )
