"""Steps whose outcome the device alone knows: equal to steps that the host decides on.

This is how GPUs train. Here the same code runs on the CPU, where both ways must give the same bits;
only averages of weights, which take another kernel, may differ by a rounding.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv.errors import DivergenceError
from ganinv.seams.engine import no_reduction
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.session import Session, train_batch
from ganinv.training.verdict import Verdict
from tests.ganinv.training.test_divergence import Keeper, PoisonedOnce
from tests.support.loops import (
    BATCH,
    CONFIG,
    Poisoned,
    Recorder,
    go,
    new_session,
    optimizer_tensors,
    watched,
)
from tests.support.micro_batches import label, variants_that_take_flags
from tests.support.runs import RandomImages, snapshot

LIMITED = replace(CONFIG, max_nonfinite_steps=2)
SHORT = replace(CONFIG, images=24)  # six steps
BAD = frozenset({0, 2, 3})  # the first, and two in a row, where a row and a checkpoint is due


def on_device(config: TrainConfig = CONFIG, **variant: Any) -> Session:
    session = new_session(config, **variant)
    assert not session.on_device  # processors gain nothing by it
    session.on_device = True
    return session


def tensors_of(session: Session) -> dict[str, Tensor]:
    return snapshot(session) | optimizer_tensors(session)


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if "/average/" in name:
            torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-7)
        else:
            assert torch.equal(found[name], value), name


@pytest.mark.parametrize("variant", variants_that_take_flags(), ids=label)
def test_a_run_with_void_steps_is_the_same_to_the_bit(variant: dict[str, Any]) -> None:
    host, device = new_session(**variant), on_device(**variant)
    _, expected = go(host, SHORT, source=Poisoned(BAD))
    _, found = go(device, SHORT, source=Poisoned(BAD))
    assert_same(tensors_of(device), tensors_of(host))
    assert found.applied == expected.applied
    assert found.events == expected.events
    for row, as_known in zip(found.rows, expected.rows, strict=True):
        for name in as_known.keys() - {"wall_time", "throughput/images_per_second"}:
            assert row[name] == as_known[name], name


def test_a_void_first_step_leaves_no_trace() -> None:
    session = on_device()
    before = snapshot(session)
    go(session, replace(CONFIG, images=BATCH), source=Poisoned(frozenset({0})))
    assert all(torch.equal(value, before[name]) for name, value in snapshot(session).items())
    found = optimizer_tensors(session)
    assert not any(value.any() for value in found.values())  # moments and counts
    assert all(
        engine.gradient_norm() != engine.gradient_norm() for engine in session.engines.values()
    )
    assert {"loss/d", "gradient of d", "d/real"} <= set(session.nonfinite)
    assert "d/fake" not in session.nonfinite


def test_a_step_is_heard_of_one_step_late_but_before_rows_checkpoints_and_the_end() -> None:
    heard: list[tuple[int, int]] = []  # steps heard of, and images that the session had seen

    class Listening(Recorder):
        def stepped(self, images: int, *, applied: bool) -> None:
            super().stepped(images, applied=applied)
            heard.append((len(self.applied) * images, self.session.images_seen))

    watched(Listening(on_device()), CONFIG, source=RandomImages(BATCH))
    late = [step for step, seen in heard if seen > step]
    assert all(seen in (step, step + BATCH) for step, seen in heard)
    # Rows are due at 12, 20, 32 and 40, checkpoints at 16, 28 and 40.
    assert late == [4, 8, 24, 36]
    assert [step for step, _ in heard] == list(range(BATCH, 41, BATCH))


@pytest.mark.parametrize(
    ("bad", "restored", "known_at"),
    [({5, 6}, 16, 28), ({7, 8}, 28, 40)],
    ids=["known at once, where a checkpoint is due", "known late"],
)
def test_a_divergence_goes_back_as_ever(bad: set[int], restored: int, known_at: int) -> None:
    recorder = Keeper(on_device())
    assert watched(recorder, LIMITED, source=PoisonedOnce(bad))
    (went,) = [event for event in recorder.events if event[0].startswith("went back")]
    assert went == (f"went back to {restored} from", known_at)
    peaceful = on_device()
    go(peaceful, LIMITED)
    assert_same(tensors_of(recorder.session), tensors_of(peaceful))


def test_a_divergence_that_comes_back_ends_the_run() -> None:
    recorder = Keeper(on_device())
    with pytest.raises(DivergenceError) as raised:
        watched(recorder, LIMITED, source=Poisoned(frozenset({7, 8})))
    text = str(raised.value)
    for part in ("2 steps in a row", "from images_seen = 32 to images_seen = 36", "and again"):
        assert part in text, text


def test_a_stop_hears_of_the_last_step_first() -> None:
    _, recorder = go(on_device(), source=Poisoned(frozenset({5})), stop_at=24)
    assert recorder.applied == [True] * 5 + [False]
    assert recorder.session.nonfinite_in_a_row == 1
    assert recorder.at("saved")[-1] == 24


def test_who_never_asks_has_at_most_two_unsettled_steps() -> None:
    session = on_device()
    layout = lay_out_batch(CONFIG, 1)
    for _, batch in zip(range(4), RandomImages(BATCH).batches(session.position), strict=False):
        train_batch(session, batch, CONFIG, layout, no_reduction)
        assert len(session.unsettled) <= 2


def test_a_verdict_is_that_of_the_first_void_round() -> None:
    verdict = Verdict()
    verdict.add_round(["a", "b"], torch.zeros(2))
    assert verdict.nonfinite == ()
    verdict.add_round(["a", "c"], torch.tensor([0.0, 3.0]))
    verdict.add_round(["a", "d"], torch.tensor([1.0, 1.0]))
    assert verdict.nonfinite == ("c",)
