"""The profile of a session: it runs real steps, and its numbers agree with each other."""

import json
from pathlib import Path

import pytest
import torch

from ganinv.profiling import events
from ganinv.profiling.clock import Clock
from ganinv.profiling.profile import WARMUP, Profile
from ganinv.profiling.training import profile_training, random_batch
from ganinv.seams.engine import no_reduction
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.session import Session, train_batch
from tests.support.runs import TRAIN, local_session, make_objective, snapshot

IMAGE = (3, 16, 16)
PARTS = {"batch", "g: forward", "d: forward", "g: backward", "d: backward", "g: optimizer"}
PARTS |= {"d: optimizer", "g: gradient toward its output", "reduction", "finiteness"}
PARTS |= {"averages", "statistics", "d: real images, forward", "d: real images, gradient"}


def profiled(config: TrainConfig = TRAIN, trace: str | None = None) -> tuple[Profile, Session]:
    layout = lay_out_batch(config, 1)
    session = local_session(make_objective("pvdgan"), config, layout.per_rank)
    found = profile_training(
        session, config, layout, image_shape=IMAGE, steps=1, repeats=1, trace=trace
    )
    return found, session


@pytest.fixture(scope="module")
def pvdgan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Profile, Session, Path]:
    trace = tmp_path_factory.mktemp("profile") / "trace.json"
    return *profiled(trace=str(trace)), trace


def test_all_parts_are_there_and_add_up(pvdgan: tuple[Profile, Session, Path]) -> None:
    profile, *_ = pvdgan
    assert {row.name for row in profile.parts} >= PARTS
    for rows in (profile.parts, profile.kinds):
        assert sum(row.seconds for row in rows) == pytest.approx(profile.step.median)
        assert min(row.seconds for row in rows) >= 0
    assert sum(row.flop for row in profile.parts) == profile.flop > 0
    assert sum(row.flop for row in profile.kinds) == profile.flop + profile.filter_flop
    assert profile.share_of_limit > 0
    assert 0 < profile.share_of_other_work < 1
    assert json.loads(json.dumps(profile.plain()))["flop"] == profile.flop


def test_the_steps_are_those_of_training(pvdgan: tuple[Profile, Session, Path]) -> None:
    """Weights, averages and traces are what as many steps without a profiler give, bit for bit."""
    _, session, _ = pvdgan
    plain = local_session(make_objective("pvdgan"), TRAIN)
    layout = lay_out_batch(TRAIN, 1)
    batch = random_batch(plain, TRAIN, layout, IMAGE)
    for _ in range(WARMUP + 1 + 2 + 1):  # plain, recorded after one that is not, counted
        train_batch(plain, batch, TRAIN, layout, no_reduction)
    expected = snapshot(plain)
    assert {key: torch.equal(value, expected[key]) for key, value in snapshot(session).items()} == {
        key: True for key in expected
    }


def test_the_trace_names_the_parts(pvdgan: tuple[Profile, Session, Path]) -> None:
    *_, trace = pvdgan
    names = {event.get("name") for event in json.loads(trace.read_text())["traceEvents"]}
    assert names >= PARTS


def test_flop_do_not_depend_on_micro_batches(
    monkeypatch: pytest.MonkeyPatch, pvdgan: tuple[Profile, Session, Path]
) -> None:
    whole, *_ = pvdgan
    monkeypatch.setattr(Clock, "best", lambda *_: 1e-3)  # both save time
    monkeypatch.setattr(events, "record", lambda *_: ({"batch": 1.0}, {"elementwise": 1.0}))
    config = TrainConfig(images=64, global_batch=16, micro_batch=4)
    parts, _ = profiled(config)
    assert parts.forward_flop == whole.forward_flop
    assert set(whole.forward_flop) == {"g", "d"}
    assert parts.filter_flop == whole.filter_flop
    assert parts.memory.peak < whole.memory.peak
