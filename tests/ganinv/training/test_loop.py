"""The training loop in one process: when it reports and saves, and how it ends and resumes."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from ganinv.errors import DivergenceError
from ganinv.seams.batches import Batch, Position
from tests.support.loops import (
    BATCH,
    CONFIG,
    Poisoned,
    Recorder,
    equal,
    go,
    handed_over,
    new_session,
    watched,
)
from tests.support.micro_batches import label, objective_variants
from tests.support.runs import RandomImages, make_objective, snapshot

ROWS_AT = [12, 20, 32, 40]  # the first batch at or past each multiple of log_every = 10
SAVED_AT = [16, 28, 40]  # likewise of checkpoint_every = 14, and the end


def test_rows_and_checkpoints_come_at_their_images() -> None:
    done, recorder = go(new_session())
    assert done
    assert recorder.at("row") == ROWS_AT
    assert recorder.at("saved") == SAVED_AT
    assert recorder.events[-2:] == [("row", 40), ("saved", 40)]  # a checkpoint holds its row
    for row in recorder.rows:
        assert {"wall_time", "loss/d", "loss/g", "loss/enc", "latent/entropy_nats"} <= row.keys()
        assert row["throughput/images_per_second"] > 0
        assert row["eval/enc"] == 0.25
    # Of the last step, which began at 8, 16, 28 and 36 images; halved at every tenth.
    rates = [row["learning_rate"] / CONFIG.learning_rate for row in recorder.rows]
    assert rates == [1.0, 0.5, 0.25, 0.125]


def test_a_source_may_give_a_plain_iterator() -> None:
    class Listed:
        def batches(self, start: Position) -> Iterator[Batch]:
            return iter(list(islice(RandomImages(BATCH).batches(start), 10)))

    done, _ = go(new_session(), source=Listed())
    assert done


def test_the_sources_iterator_is_closed_at_the_end() -> None:
    closed = []

    class Closing:
        def batches(self, start: Position) -> Iterator[Batch]:
            try:
                yield from RandomImages(BATCH).batches(start)
            finally:
                closed.append(start)

    go(new_session(), source=Closing(), stop_at=8)
    assert closed == [Position(epoch=0, images=0)]


def test_a_run_that_is_done_does_nothing_more() -> None:
    session = new_session()
    go(session)
    done, recorder = go(session)
    assert (done, recorder.events, recorder.applied) == (True, [], [])


def test_a_rows_losses_are_the_plain_means_of_its_steps() -> None:
    _, every_step = go(new_session(), replace(CONFIG, log_every=BATCH))
    _, recorder = go(new_session())
    first = 0
    for row in recorder.rows:
        last = int(row["images_seen"]) // BATCH
        steps = every_step.rows[first:last]
        for name in (row.name for row in make_objective("dlsgan").statistics):
            mean = sum(step[name] for step in steps) / len(steps)
            assert row[name] == pytest.approx(mean, rel=1e-12)
        for name in ("grad_norm/g", "grad_norm/d", "latent/entropy_nats", "latent/effective"):
            assert row[name] == steps[-1][name]
        first = last


@pytest.mark.parametrize("variant", objective_variants(), ids=label)
def test_stopped_and_continued_equals_uninterrupted_bit_for_bit(variant: dict[str, Any]) -> None:
    config = replace(CONFIG, images=20)  # five steps; methods do something else in every fourth
    whole = new_session(**variant)
    _, uninterrupted = go(whole, config)
    session = new_session(**variant)
    done, before = go(session, config, stop_at=11)
    assert not done
    assert before.at("saved") == [12]
    done, after = go(handed_over(session), config)
    assert done
    assert before.at("row") + after.at("row") == [12, 20]
    assert equal(after.tensors[-1], uninterrupted.tensors[-1])
    for found, expected in zip(before.rows + after.rows, uninterrupted.rows, strict=True):
        assert found.keys() == expected.keys()
        for name in found.keys() - {"wall_time", "throughput/images_per_second"}:
            assert found[name] == pytest.approx(expected[name], rel=1e-12), name


@pytest.mark.parametrize(("stop_at", "finished"), [(16, False), (40, True)])
def test_a_stop_at_a_checkpoint_saves_once(stop_at: int, finished: bool) -> None:
    done, recorder = go(new_session(), stop_at=stop_at)
    assert done is finished
    assert recorder.at("saved") == [images for images in SAVED_AT if images <= stop_at]


def test_void_steps_are_counted_and_leave_nothing_behind() -> None:
    bad = frozenset({2, 5, 6, 9})
    session = new_session()
    initial = snapshot(session)
    done, recorder = go(session, replace(CONFIG, log_every=BATCH), source=Poisoned(bad))
    assert done
    assert recorder.applied == [step not in bad for step in range(10)]
    assert (session.images_seen, session.position) == (40, Position(epoch=0, images=40))
    for step, tensors in enumerate(recorder.tensors):
        before = recorder.tensors[step - 1] if step else initial
        assert equal({name: tensors[name] for name in before}, before) == (step in bad)
        assert all(bool(value.isfinite().all()) for value in tensors.values())
    _, coarse = go(new_session(), source=Poisoned(bad))
    assert all("loss/d" in row for row in recorder.rows)  # NaN where there is no mean
    steps = [row["loss/d"] for row in recorder.rows[5:8] if not math.isnan(row["loss/d"])]
    assert len(steps) == 1  # of 24, 28 and 32 images, two were void
    assert coarse.rows[2]["loss/d"] == pytest.approx(steps[0], rel=1e-12)


def test_too_many_void_steps_in_a_row_end_the_run() -> None:
    config = replace(CONFIG, max_nonfinite_steps=3)
    recorder = Recorder(new_session(config))
    with pytest.raises(DivergenceError, match=r"3 steps in a row.*images_seen = 28.*learning_rate"):
        watched(recorder, config, source=Poisoned(frozenset({1, 4, 5, 6, 7, 8})))
    assert recorder.applied == [True, False, True, True, False, False, False]
    assert equal(recorder.tensors[-1], recorder.tensors[3])


def test_void_steps_that_good_ones_interrupt_end_nothing() -> None:
    config = replace(CONFIG, max_nonfinite_steps=2)
    done, recorder = go(new_session(config), config, source=Poisoned(frozenset({1, 3, 5, 7, 9})))
    assert done
    assert recorder.applied == [True, False] * 5
