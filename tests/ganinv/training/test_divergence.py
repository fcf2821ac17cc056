"""Void steps in a row: one return to the checkpoint, then an error with all known facts."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
import torch

from ganinv.errors import DivergenceError
from ganinv.seams.batches import Batch, Position
from ganinv.seams.engine import no_reduction
from ganinv.training.divergence import Guard
from ganinv.training.session import Session
from tests.support.loops import (
    BATCH,
    CONFIG,
    Poisoned,
    Recorder,
    equal,
    go,
    new_session,
    optimizer_tensors,
    watched,
    whole_moments,
)
from tests.support.runs import RandomImages, snapshot

LIMITED = replace(CONFIG, max_nonfinite_steps=2)


class Keeper(Recorder):
    """Keeps its checkpoint in memory, and gives it back."""

    def save(self) -> None:
        super().save()
        session = self.session
        engines, averages = session.engines.items(), session.averages.items()
        self.kept = {
            "weights": {name: copied(e.network.state_dict()) for name, e in engines},
            "averages": {name: copied(a.network.state_dict()) for name, a in averages},
            "moments": {name: whole_moments(e) for name, e in engines},
            "state": {name: value.clone() for name, value in session.state.items()},
            "means": session.means.fold(no_reduction).clone(),
            "place": (session.images_seen, session.position),
        }

    def restore(self) -> str | None:
        assert self.inside == "restart"
        session, kept = self.session, self.kept
        for name, engine in session.engines.items():
            engine.network.load_state_dict(kept["weights"][name])
            engine.load_optimizer(*kept["moments"][name])
        for name, average in session.averages.items():
            average.network.load_state_dict(kept["averages"][name])
        session.state = {name: value.clone() for name, value in kept["state"].items()}
        session.means.load(kept["means"])
        session.images_seen, session.position = kept["place"]
        session.nonfinite_in_a_row = 0
        return f"{session.images_seen:012d}-kept"


def copied(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in tensors.items()}


@dataclass
class PoisonedOnce:
    """As `Poisoned`, but each bad batch is good when it is read again."""

    bad: set[int]
    starts: list[int] = field(default_factory=list)

    def batches(self, start: Position) -> Iterator[Batch]:
        self.starts.append(start.images)
        for batch in RandomImages(BATCH).batches(start):
            number = batch.after.images // BATCH - 1
            if number in self.bad:
                self.bad.remove(number)
                nothing = torch.full(batch.images_BCHW.shape, float("nan"))
                yield replace(batch, images_BCHW=nothing)
            else:
                yield batch


def final(session: Session) -> dict[str, torch.Tensor]:
    return snapshot(session) | optimizer_tensors(session)


def test_a_cause_that_passes_leaves_no_trace() -> None:
    peaceful = new_session()
    go(peaceful, LIMITED)
    recorder = Keeper(new_session())
    source = PoisonedOnce({5, 6})  # after the checkpoint at 16
    assert watched(recorder, LIMITED, source=source)
    assert recorder.events.count(("went back to 16 from", 28)) == 1
    assert source.starts == [0, 16]
    assert equal(final(recorder.session), final(peaceful))


def test_a_cause_that_comes_back_ends_the_run_with_the_evidence() -> None:
    recorder = Keeper(new_session())
    with pytest.raises(DivergenceError) as raised:
        watched(recorder, LIMITED, source=Poisoned(frozenset({5, 6})))
    text = str(raised.value)
    assert recorder.events.count(("went back to 16 from", 28)) == 1
    for part in (
        "2 steps in a row",
        "from images_seen = 24 to images_seen = 28",
        "and again after a return to the last checkpoint",
        "loss/d",
        "last finite at images_seen = 20: ",
        "checkpoint 000000000016-kept is intact",
    ):
        assert part in text, (part, text)


def test_progress_beyond_the_point_allows_another_way_back() -> None:
    recorder = Keeper(new_session())
    assert watched(recorder, LIMITED, source=PoisonedOnce({4, 5, 7, 8}))
    went = [event for event in recorder.events if event[0].startswith("went back")]
    assert went == [("went back to 16 from", 24), ("went back to 28 from", 36)]


def test_no_checkpoint_is_written_while_steps_are_dropped() -> None:
    _, recorder = go(new_session(), source=Poisoned(frozenset({3, 4})))  # due at 16, in a row
    assert recorder.at("saved") == [24, 28, 40]


def test_the_evidence_names_what_was_not_finite() -> None:
    session = new_session()
    go(session, replace(CONFIG, images=BATCH), source=Poisoned(frozenset({0})))
    assert {"loss/d", "gradient of d", "d/real"} <= set(session.nonfinite)
    assert "d/fake" not in session.nonfinite


def test_a_divergence_before_the_first_finite_row_is_told() -> None:
    guard = Guard(limit=1)
    assert guard.stepped(16, 1, ("loss/d",))
    guard.logged({"images_seen": 16.0, "loss/d": float("nan")})
    said = str(guard.error(None))
    assert "from images_seen = 16 to images_seen = 16 (non-finite in the last step: loss/d" in said
    assert "loss/d; there is no checkpoint)" in said
