"""On real engines: whatever number of workers and engine loads a checkpoint, the same bits."""

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from cluster.checkpoints import contents as checkpoint
from cluster.config import CheckpointConfig
from cluster.storage.opening import open_store
from ganinv import objectives
from ganinv.errors import ClusterError
from ganinv.training.session import Session
from tests.support.engines import KINDS, Kind, distributed_session
from tests.support.gloo import run_ranks
from tests.support.harassed import Harassed
from tests.support.methods import registered
from tests.support.runs import TRAIN, train
from tests.support.saves import IDENTITY, save, saver_of
from tests.support.states import equal, whole_state

HALF, WHOLE = 32, 64


def session_on(kind: Kind, objective: str = "pvdgan") -> Session:
    return distributed_session((objective, {}), kind)


def go_on(session: Session, images: int) -> None:
    from cluster.collectives import all_reduce_sum
    from ganinv.training.config import lay_out_batch

    layout = lay_out_batch(TRAIN, dist.get_world_size())
    train(session, TRAIN, layout, images, rank=dist.get_rank(), reduce=all_reduce_sum)


def train_and_save(root: str) -> list[str]:
    """Half a run, two checkpoints, the rest of the run, another one.

    DLSGAN and PVDGAN on every engine, each other method on one. The second checkpoint is written
    only after the rest was trained, for storage is that slow. Returns why, in the end, states that
    differ between ranks are not saved.
    """
    in_turn = itertools.cycle(KINDS)
    for objective in sorted(objectives.names(), key=lambda name: name == "pvdgan"):
        for kind in KINDS if objective in ("dlsgan", "pvdgan") else (next(in_turn),):
            session = session_on(kind, objective)
            go_on(session, HALF)
            save(session, open_store(f"{root}/{objective}/half-{kind}"))
            slow = Harassed(open_store(f"{root}/{objective}/whole-{kind}"))
            slow.gate.clear()
            with saver_of(slow, CheckpointConfig(keep_last=2)) as saver:  # type: ignore[arg-type]  # by __getattr__
                saver.save(session)
                go_on(session, WHOLE)
                slow.gate.set()
                saver.finish(session)
    return [refusal_of(session, root, spoil) for spoil in (trace_by_one_bit, position)]


def trace_by_one_bit(session: Session) -> None:
    trace_L = session.state["real"]
    trace_L[0] = torch.nextafter(trace_L[0], trace_L[0] + 1)


def position(session: Session) -> None:
    session.position = replace(session.position, images=session.position.images + 1)


def refusal_of(session: Session, root: str, spoil: Callable[[Session], None]) -> str:
    """What `save` says where rank 1 alone was spoilt; the session is as before afterwards."""
    state, place = {n: t.clone() for n, t in session.state.items()}, session.position
    if dist.get_rank() == 1:
        spoil(session)
    with pytest.raises(ClusterError) as caught:
        save(session, open_store(f"{root}/refused"))
    session.state, session.position = state, place
    return str(caught.value)


def restore_and_go_on(root: str, name: str, pairs: list[tuple[Kind, Kind]]) -> None:
    """From one engine to another: load, save at once, go on to the end, save."""
    for old, new in pairs:
        session = session_on(new)
        manifest = checkpoint.restore(session, open_store(f"{root}/pvdgan/half-{old}"), IDENTITY)
        assert manifest is not None
        assert session.images_seen == manifest.images_seen == HALF
        save(session, open_store(f"{root}/{name}-again-{old}-{new}"))
        go_on(session, WHOLE)
        save(session, open_store(f"{root}/{name}-whole-{old}-{new}"))


def train_plain_gan_and_resume(root: str) -> None:
    """To the end in one go, and from a checkpoint in the middle by another session."""
    middle = open_store(f"{root}/middle")
    with registered():
        whole = session_on(0, "plain_gan")
        go_on(whole, HALF)
        save(whole, middle)
        go_on(whole, WHOLE)
        save(whole, open_store(f"{root}/whole"))
        resumed = session_on(0, "plain_gan")
        assert checkpoint.restore(resumed, middle, IDENTITY) is not None
        go_on(resumed, WHOLE)
        save(resumed, open_store(f"{root}/resumed"))


@pytest.mark.integration
def test_a_method_without_encoder_and_moments_resumes(tmp_path: Path) -> None:
    """Its generator has a buffer that changes in every step."""
    run_ranks(train_plain_gan_and_resume, 2, str(tmp_path))
    middle, whole, resumed = (
        whole_state(open_store(str(tmp_path / name))) for name in ("middle", "whole", "resumed")
    )
    equal(resumed, whole)
    assert not any(torch.equal(middle[name], whole[name]) for name in whole if "/weights/" in name)


@pytest.mark.integration
def test_any_number_of_workers_and_engine_loads_the_same_bits(tmp_path: Path) -> None:
    root = str(tmp_path)
    refusals = run_ranks(train_and_save, 2, root)
    same = [(kind, kind) for kind in KINDS]
    across = [(1, 0), (0, 1), (1, 2), (1, "flat"), ("flat", 2)]
    run_ranks(restore_and_go_on, 2, root, "two", same + across)
    run_ranks(restore_and_go_on, 1, root, "one", [(1, 1), (2, 0), (1, "flat")])
    run_ranks(restore_and_go_on, 4, root, "four", [(1, 1), (0, 2), ("flat", 1)])

    for again in tmp_path.glob("*-again-*"):
        old = again.name.split("-")[2]
        half = open_store(f"{root}/pvdgan/half-{old}")
        equal(whole_state(open_store(str(again))), whole_state(half))
    for kind in KINDS:  # in new processes, and yet equal to never having stopped
        found = whole_state(open_store(f"{root}/two-whole-{kind}-{kind}"))
        equal(found, whole_state(open_store(f"{root}/pvdgan/whole-{kind}")))
    for whole in tmp_path.glob("*-whole-*"):
        expected = whole_state(open_store(f"{root}/pvdgan/whole-1"))
        for name, tensor in whole_state(open_store(str(whole))).items():
            torch.testing.assert_close(tensor, expected[name], rtol=2e-5, atol=2e-6)

    for half in tmp_path.glob("*/half-*"):
        at_once, later = (
            json.loads(next(folder.glob(f"checkpoints/{HALF:012d}-*/manifest.json")).read_text())
            for folder in (half, half.with_name(half.name.replace("half", "whole")))
        )
        assert at_once["objects"] == later["objects"]  # names, sizes and SHA-256

    assert refusals[0] == refusals[1]  # all ranks refuse, in the same words
    assert re.search(
        r"images_seen = 64: .*but on ranks 0 to 1 state/real is (\w{32}) / (?!\1)\w{32};",
        refusals[0][0],
    )
    assert (
        "on ranks 0 to 1 position is 64 in epoch 0 / 65 in epoch 0; start again" in refusals[0][1]
    )
    assert not (tmp_path / "refused").exists()


def go_back_and_again(root: str) -> None:
    """On every engine: to the end, back to a checkpoint in the same process, to the end again."""
    for kind, start in itertools.product(KINDS, (0, HALF)):
        session = session_on(kind)
        if start:
            go_on(session, start)
        store = open_store(f"{root}/{kind}-{start}-start")
        save(session, store)
        go_on(session, WHOLE)
        save(session, open_store(f"{root}/{kind}-{start}-once"))
        checkpoint.restore(session, store, IDENTITY)
        go_on(session, WHOLE)
        save(session, open_store(f"{root}/{kind}-{start}-twice"))


@pytest.mark.integration
def test_the_way_back_in_the_same_process_leaves_nothing_behind(tmp_path: Path) -> None:
    run_ranks(go_back_and_again, 2, str(tmp_path))
    for twice in tmp_path.glob("*-twice"):
        once = twice.with_name(twice.name.replace("twice", "once"))
        equal(whole_state(open_store(str(twice))), whole_state(open_store(str(once))))
