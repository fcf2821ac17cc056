"""A tab's states: steps back and forth, drags, refinements that come late; a bounded number."""

import asyncio
from dataclasses import replace

import pytest
import torch

from ganinv.editing.edits import Points
from launch.studio.newest import Newest
from launch.studio.session import STEPS_KEPT, FullError, Session, Sessions, Source, State


def source(name: str) -> Source:
    return Source(origin=name, points=Points("z", torch.zeros(1, 2)))


FIRST = State(first=source("first"))


def strengths(session: Session) -> dict[str, float]:
    return dict(session.state.strengths)


def test_a_drag_is_one_step_however_many_values_it_passes() -> None:
    session = Session(FIRST)
    for value in (0.5, 1.0, 1.5):
        session.drag(session.state.with_strength("smile", value))
    session.settle()
    session.settle()
    session.go(session.state.with_strength("age", -1.0))
    assert strengths(session) == {"smile": 1.5, "age": -1.0}
    session.undo()
    assert strengths(session) == {"smile": 1.5}
    session.undo()
    assert session.state is FIRST
    assert not session.can_undo
    session.undo()
    assert session.state is FIRST
    session.redo()
    session.redo()
    assert strengths(session) == {"smile": 1.5, "age": -1.0}
    assert not session.can_redo


def test_a_drag_that_is_not_let_go_of_can_be_undone_and_done_again() -> None:
    session = Session(FIRST)
    session.drag(FIRST.with_strength("smile", 2.0))
    assert session.can_undo
    session.undo()
    assert session.state is FIRST
    session.redo()
    assert strengths(session) == {"smile": 2.0}


def test_a_new_step_forgets_those_that_were_undone() -> None:
    session = Session(FIRST)
    session.go(FIRST.with_strength("smile", 2.0))
    session.undo()
    session.go(FIRST.with_strength("age", 1.0))
    assert not session.can_redo


def test_a_step_that_changes_nothing_is_none() -> None:
    session = Session(FIRST)
    session.go(FIRST.with_strength("smile", 0.0))
    assert not session.can_undo


def test_steps_back_are_bounded() -> None:
    session = Session(FIRST)
    for value in range(1, 3 * STEPS_KEPT):
        session.go(session.state.with_strength("smile", float(value)))
    steps = 0
    while session.can_undo:
        session.undo()
        steps += 1
    assert steps == STEPS_KEPT


def test_reset_keeps_the_pictures_and_can_be_undone() -> None:
    session = Session(FIRST)
    mixed = replace(FIRST, second=source("second"), share=0.5).with_strength("smile", 1.0)
    session.go(mixed)
    session.reset()
    assert (strengths(session), session.state.share) == ({}, 0.0)
    assert session.state.second is mixed.second
    session.undo()
    assert session.state is mixed


def test_a_refinement_keeps_the_edits_made_meanwhile() -> None:
    session = Session(FIRST)
    session.go(FIRST.with_strength("smile", 1.0))
    after = source("refined")
    assert session.refined(FIRST.first, after)
    assert session.state.first is after
    assert strengths(session) == {"smile": 1.0}
    session.undo()
    assert session.state.first is FIRST.first


def test_a_refinement_of_a_picture_that_is_gone_changes_nothing() -> None:
    other = State(first=source("other"))
    session = Session(FIRST)
    session.go(other)
    assert not session.refined(FIRST.first, source("refined"))
    assert session.state is other


def test_tabs_have_sessions_of_their_own_and_a_bounded_number() -> None:
    sessions = Sessions(2)
    one, two = (sessions.open(key, FIRST) for key in "ab")
    one.go(FIRST.with_strength("smile", 1.0))
    assert two.state is FIRST
    with pytest.raises(FullError, match="2 tabs of this studio are open; close one"):
        sessions.open("c", FIRST)
    sessions.close("a")
    sessions.close("a")
    assert one.stop.is_set()
    assert not two.stop.is_set()
    sessions.open("c", FIRST)
    sessions.close_all()
    assert two.stop.is_set()
    assert len(sessions) == 0


def test_only_the_newest_of_many_requests_is_worked_on() -> None:
    async def drag() -> list[int]:
        wanted, worked, going = 0, list[int](), asyncio.Event()

        async def work() -> None:
            worked.append(wanted)
            await going.wait()

        newest = Newest(work)
        first = asyncio.create_task(newest.ask())
        await asyncio.sleep(0)
        for wanted in range(1, 50):  # noqa: B007 (`work` reads it)
            await asyncio.wait_for(newest.ask(), 5)  # returns at once: nothing waits in a queue
        going.set()
        await first
        await newest.ask()
        return worked

    assert asyncio.run(drag()) == [0, 49, 49]
