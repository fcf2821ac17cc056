"""Runs of the training loop in one process, watched, stopped and handed over."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ganinv.seams.batches import Batch, BatchSource, Position
from ganinv.seams.engine import Engine, no_reduction
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.loop import Row, TimeState, run
from ganinv.training.session import Session
from tests.support.runs import TRAIN, RandomImages, local_session, make_objective, snapshot

BATCH = 4
CONFIG = replace(
    TRAIN,
    images=40,
    global_batch=BATCH,
    log_every=10,
    checkpoint_every=14,
    learning_rate_decay=0.5,
    learning_rate_decay_every=10,
)


@dataclass
class Recorder:
    """Watches a run of `session`, and asks it to stop once `stop_at` images were seen."""

    session: Session
    stop_at: int | None = None
    events: list[tuple[str, int]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    applied: list[bool] = field(default_factory=list)
    tensors: list[dict[str, Tensor]] = field(default_factory=list)  # after every step
    inside: TimeState | None = None

    def timed(self, state: TimeState) -> AbstractContextManager[object]:
        return self._timed(state)

    @contextmanager
    def _timed(self, state: TimeState) -> Iterator[None]:
        outer, self.inside = self.inside, state
        yield
        self.inside = outer

    def stepped(self, images: int, *, applied: bool) -> None:
        assert images == BATCH
        self.applied.append(applied)
        self.tensors.append(snapshot(self.session) | optimizer_tensors(self.session))

    def logged(self, row: Row, session: Session) -> None:
        assert row["images_seen"] == session.images_seen
        self.rows.append(row)
        self.events.append(("row", session.images_seen))

    def stop_requested(self) -> bool:
        return self.stop_at is not None and self.session.images_seen >= self.stop_at

    def save(self) -> None:
        assert self.inside == "checkpoint"
        self.events.append(("saved", self.session.images_seen))

    def restore(self) -> str | None:
        """There is no checkpoint, unless a test says otherwise."""
        assert self.inside == "restart"
        return None

    def went_back(self, images_seen: int, restored: int) -> None:
        self.events.append((f"went back to {restored} from", images_seen))

    def at(self, event: str) -> list[int]:
        return [images for name, images in self.events if name == event]


@dataclass(frozen=True)
class Poisoned:
    """Random images, but for the batches (counted from 0) that are not numbers."""

    bad: frozenset[int]

    def batches(self, start: Position) -> Iterator[Batch]:
        for batch in RandomImages(BATCH).batches(start):
            if batch.after.images // BATCH - 1 in self.bad:
                images_BCHW = torch.full(batch.images_BCHW.shape, float("nan"))
                yield replace(batch, images_BCHW=images_BCHW)
            else:
                yield batch


def new_session(config: TrainConfig = CONFIG, **variant: Any) -> Session:
    return local_session(make_objective(**(variant or {"name": "dlsgan"})), config)


def go(
    session: Session,
    config: TrainConfig = CONFIG,
    *,
    source: BatchSource | None = None,
    stop_at: int | None = None,
) -> tuple[bool, Recorder]:
    """A run to its end, and who watched it."""
    recorder = Recorder(session, stop_at)
    return watched(recorder, config, source=source or RandomImages(BATCH)), recorder


def watched(recorder: Recorder, config: TrainConfig, *, source: BatchSource) -> bool:
    return run(
        recorder.session,
        config,
        lay_out_batch(config, 1),
        source=source,
        reduce=no_reduction,
        observer=recorder,
        save=recorder.save,
        restore=recorder.restore,
        evaluate=lambda: {"eval/enc": 0.25},
    )


def whole_moments(engine: Engine) -> tuple[dict[str, dict[str, Tensor]], int]:
    """An engine's optimizer state as `load_optimizer` takes it."""
    fragments, steps = engine.optimizer_fragments()
    shapes = {name: p.shape for name, p in engine.network.named_parameters()}
    moments: dict[str, dict[str, Tensor]] = {}
    for parameter, moment, start, values in fragments:
        assert start == 0
        moments.setdefault(moment, {})[parameter] = values.clone().view(shapes[parameter])
    return moments, steps


def optimizer_tensors(session: Session) -> dict[str, Tensor]:
    tensors = {}
    for network, engine in session.engines.items():
        moments, steps = whole_moments(engine)
        tensors[f"{network}/steps"] = torch.tensor(steps)
        for moment, values in moments.items():
            tensors |= {f"{network}/{moment}/{name}": value for name, value in values.items()}
    return tensors


def handed_over(old: Session, config: TrainConfig = CONFIG) -> Session:
    """A session with other initial weights that was given all of `old`'s state, as from a file."""
    new = local_session(old.objective, replace(config, seed=config.seed + 1))

    def hand(source: nn.Module, target: nn.Module) -> None:
        target.load_state_dict(source.state_dict())

    for network, frozen in old.frozen.items():
        hand(frozen, new.frozen[network])
    for network, average in old.averages.items():
        hand(average.network, new.averages[network].network)
    for network, engine in old.engines.items():
        hand(engine.network, new.engines[network].network)
        new.engines[network].load_optimizer(*whole_moments(engine))
    new.state = {name: value.clone() for name, value in old.state.items()}
    new.means.load(old.means.fold(no_reduction))
    new.images_seen, new.position = old.images_seen, old.position
    new.nonfinite_in_a_row = old.nonfinite_in_a_row
    return new


def equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    assert found.keys() == expected.keys()
    return all(torch.equal(found[name], value) for name, value in expected.items())
