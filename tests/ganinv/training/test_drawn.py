"""Draws made ahead are those of the step, whatever happened in between, and leave no thread."""

import threading
from dataclasses import replace
from queue import Queue
from typing import Any

import pytest
import torch

from ganinv.training.config import lay_out_batch
from ganinv.training.drawn import Draw, Drawn, DrawnAhead, Slots, drawing
from ganinv.training.session import cut_into_micro_batches
from tests.support.loops import BATCH, CONFIG, go, new_session
from tests.support.runs import RandomImages, make_objective

CPU = torch.device("cpu")
SLOTS = (1, 3)


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("ganinv-draws")]


def draw_of(**variant: Any) -> Draw:
    return drawing(make_objective(**variant).noise, CONFIG, CPU)


def assert_equal(found: Drawn, expected: Drawn) -> None:
    assert found.mirrored_B is not None
    assert expected.mirrored_B is not None
    assert torch.equal(found.slots_B, expected.slots_B)
    assert torch.equal(found.mirrored_B, expected.mirrored_B)
    assert found.noise.keys() == expected.noise.keys()
    assert all(torch.equal(found.noise[name], value) for name, value in expected.noise.items())


@pytest.mark.parametrize(
    "variant", [{"name": "dlsgan"}, {"name": "pvdgan", "schedule": "sequential"}]
)
def test_they_are_those_of_the_step(variant: dict[str, Any]) -> None:
    """In order, after a return to a checkpoint, and for other slots."""
    draw, own = draw_of(**variant), threading.current_thread().name
    calls: list[tuple[int, Slots, str]] = []

    on_thread: Queue[int] = Queue()

    def counted(images_seen: int, slots: Slots) -> Drawn:
        thread = threading.current_thread().name
        calls.append((images_seen, slots, thread))
        if thread != own:
            on_thread.put(images_seen)
        return draw(images_seen, slots)

    ahead = DrawnAhead(counted, BATCH)
    asked = [(0, SLOTS), (4, SLOTS), (8, SLOTS), (0, SLOTS), (4, (0, 2))]
    for step in asked:
        assert_equal(ahead.take(*step), draw(*step))
        assert on_thread.get(timeout=60) == step[0] + BATCH  # begun before it is needed
    ahead.close()
    assert threads() == []
    waited_for = [call[:2] for call in calls if call[2] == own]
    assert waited_for == [(0, SLOTS), (0, SLOTS), (4, (0, 2))]
    assert len(calls) == len(waited_for) + len(asked)  # one step ahead, no more


def test_nobody_waits_for_a_thread_that_has_not_begun() -> None:
    draw, begun, go_on = draw_of(name="dlsgan"), threading.Event(), threading.Event()

    def held_up(images_seen: int, slots: Slots) -> Drawn:
        if threading.current_thread().name != own and images_seen == 4:
            begun.set()
            assert go_on.wait(60)
        return draw(images_seen, slots)

    own = threading.current_thread().name
    ahead = DrawnAhead(held_up, BATCH)
    ahead.take(0, SLOTS)
    assert begun.wait(60)
    ahead.take(40, SLOTS)  # elsewhere; the thread is still busy with the draws at 4
    assert_equal(ahead.take(44, SLOTS), draw(44, SLOTS))
    go_on.set()
    ahead.close()
    assert threads() == []


def test_what_fails_on_the_thread_fails_in_the_step() -> None:
    draw = draw_of(name="dlsgan")

    def failing(images_seen: int, slots: Slots) -> Drawn:
        if images_seen:
            raise ValueError("as at 4 images")
        return draw(images_seen, slots)

    ahead = DrawnAhead(failing, BATCH)
    ahead.take(0, SLOTS)
    with pytest.raises(ValueError, match="as at 4 images"):
        ahead.take(4, SLOTS)
    ahead.close()
    assert threads() == []


@pytest.mark.parametrize("stop_at", [None, 8])
def test_a_run_leaves_no_thread(stop_at: int | None) -> None:
    go(new_session(), stop_at=stop_at)
    assert threads() == []


@pytest.mark.parametrize("flip", [True, False])
def test_a_step_takes_what_was_drawn(flip: bool) -> None:
    config = replace(CONFIG, flip=flip)
    session, layout = new_session(config), lay_out_batch(config, 1)
    batch = next(RandomImages(BATCH).batches(session.position))
    drawn = drawing(session.objective.noise, config, CPU)(0, batch.slots)
    assert (drawn.mirrored_B is not None) is flip
    (expected,) = cut_into_micro_batches(session, batch, config, layout)
    (found,) = cut_into_micro_batches(session, batch, config, layout, drawn)
    assert torch.equal(found.real_NCHW, expected.real_NCHW)
    assert torch.equal(found.slots_N, expected.slots_N)
    assert torch.equal(found.noise["z"], expected.noise["z"])
    (other,) = cut_into_micro_batches(
        session,
        batch,
        config,
        layout,
        drawing(session.objective.noise, config, CPU)(4, batch.slots),
    )
    assert not torch.equal(other.noise["z"], expected.noise["z"])
