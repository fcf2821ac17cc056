"""Checkpoints: the same bits on any number of workers and at any ZeRO stage, and never half."""

import hashlib
import itertools
import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.distributed as dist

from cluster import checkpoint
from cluster.config import CheckpointConfig
from cluster.storage import open_store
from ganinv import objectives
from ganinv.checkpoints import choose
from ganinv.errors import ClusterError, StorageError, StorageExistsError
from ganinv.manifest import Manifest, committed_names, folder, manifests_newest_first
from ganinv.seams import Store
from ganinv.training import Session
from tests.support.gloo import run_ranks
from tests.support.harassed import Harassed
from tests.support.runs import TRAIN, local_session, make_objective, train, train_locally
from tests.support.saves import save, saver_of
from tests.support.states import equal, whole_state

HALF, WHOLE = 32, 64


# --- on real engines, over ranks -------------------------------------------------------------


def session_at(stage: int, objective: str = "pvdgan") -> Session:
    from tests.support.engines import distributed_session

    return distributed_session((objective, {}), stage)


def go_on(session: Session, images: int) -> None:
    from cluster.collectives import all_reduce_sum
    from ganinv.training import split_batch

    split = split_batch(TRAIN, dist.get_world_size())
    train(session, TRAIN, split, images, rank=dist.get_rank(), reduce=all_reduce_sum)


def train_and_save(root: str) -> list[str]:
    """At every stage: half a run, two checkpoints, the rest of the run, another one.

    The second one is written only after the rest was trained, for storage is that slow. Returns
    why, in the end, states that differ between ranks are not saved.
    """
    for objective in sorted(objectives.names(), key=lambda name: name == "pvdgan"):
        for stage in (0, 1, 2):
            session = session_at(stage, objective)
            go_on(session, HALF)
            save(session, open_store(f"{root}/{objective}/half-{stage}"))
            slow = Harassed(open_store(f"{root}/{objective}/whole-{stage}"))
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


def restore_and_go_on(root: str, name: str, pairs: list[tuple[int, int]]) -> None:
    """From one stage to another: load, save at once, go on to the end, save."""
    for old, new in pairs:
        session = session_at(new)
        manifest = checkpoint.restore(session, open_store(f"{root}/pvdgan/half-{old}"))
        assert manifest is not None
        assert session.images_seen == manifest.images_seen == HALF
        save(session, open_store(f"{root}/{name}-again-{old}-{new}"))
        go_on(session, WHOLE)
        save(session, open_store(f"{root}/{name}-whole-{old}-{new}"))


@pytest.mark.integration
def test_any_number_of_workers_and_stage_loads_the_same_bits(tmp_path: Path) -> None:
    root = str(tmp_path)
    refusals = run_ranks(train_and_save, 2, root)
    same, across = [(0, 0), (1, 1), (2, 2)], [(1, 0), (0, 1), (1, 2)]
    run_ranks(restore_and_go_on, 2, root, "two", same + across)
    run_ranks(restore_and_go_on, 1, root, "one", [(1, 1), (2, 0)])
    run_ranks(restore_and_go_on, 4, root, "four", [(1, 1), (0, 2)])

    for again in tmp_path.glob("*-again-*"):
        old = again.name.split("-")[2]
        half = open_store(f"{root}/pvdgan/half-{old}")
        equal(whole_state(open_store(str(again))), whole_state(half))
    for stage, _ in same:  # in new processes, and yet equal to never having stopped
        found = whole_state(open_store(f"{root}/two-whole-{stage}-{stage}"))
        equal(found, whole_state(open_store(f"{root}/pvdgan/whole-{stage}")))
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
    """At every stage: to the end, back to a checkpoint in the same process, to the end again."""
    for stage, start in itertools.product((0, 1, 2), (0, HALF)):
        session = session_at(stage)
        if start:
            go_on(session, start)
        store = open_store(f"{root}/{stage}-{start}-start")
        save(session, store)
        go_on(session, WHOLE)
        save(session, open_store(f"{root}/{stage}-{start}-once"))
        checkpoint.restore(session, store)
        go_on(session, WHOLE)
        save(session, open_store(f"{root}/{stage}-{start}-twice"))


@pytest.mark.integration
def test_the_way_back_in_the_same_process_leaves_nothing_behind(tmp_path: Path) -> None:
    run_ranks(go_back_and_again, 2, str(tmp_path))
    for twice in tmp_path.glob("*-twice"):
        once = twice.with_name(twice.name.replace("twice", "once"))
        equal(whole_state(open_store(str(twice))), whole_state(open_store(str(once))))


# --- in one process, on a directory and on S3 ------------------------------------------------


def test_round_trip_into_a_new_session(store: Store) -> None:
    session = train_locally("pvdgan", HALF)
    name = save(session, store)
    expected = whole_state(store)
    restored = local_session(make_objective("pvdgan"), replace(TRAIN, seed=7))
    manifest = checkpoint.restore(restored, store)
    assert manifest is not None
    assert (manifest.name, manifest.position) == (name, session.position)
    assert manifest.name.startswith(f"{HALF:012d}-")
    again = save(restored, store)
    assert again != name
    equal(whole_state(store), expected)


def test_without_a_manifest_a_checkpoint_does_not_exist(store: Store) -> None:
    session = train_locally("dlsgan", 16)
    store.write(folder(f"{999:012d}-0123abcd") + "part-00000-of-00001.safetensors", b"half")
    assert checkpoint.restore(session, store) is None
    name = save(session, store)
    assert committed_names(store) == [name]


@pytest.mark.parametrize("damage", ["flipped", "short", "gone"])
def test_a_damaged_newest_falls_back_to_the_one_before(
    store: Store, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    session = train_locally("dlsgan", 16)
    older = save(session, store)
    expected = whole_state(store)
    train_more(session, 32)
    newer = save(session, store)
    harm(store, newer, damage)
    restored = local_session(make_objective("dlsgan"))
    manifest = checkpoint.restore(restored, store)
    assert manifest is not None
    assert manifest.name == older
    assert newer in caplog.text
    equal(whole_state(store), expected)


def test_any_flipped_bit_is_noticed_and_the_older_one_used(store: Store) -> None:
    session = train_locally("dlsgan", 16)
    older = save(session, store)
    train_more(session, 32)
    newer = save(session, store)
    offsets = random.Random(0)
    for entry in store.list(folder(newer)):
        content = store.read(entry.name)
        for _ in range(12):
            spoilt = bytearray(content)
            spoilt[offsets.randrange(len(content))] ^= 1 << offsets.randrange(8)
            store.write(entry.name, bytes(spoilt))
            chosen = choose(store)
            assert chosen is not None
            if chosen[0].name == newer:  # a space became another one, and nothing else
                assert json.loads(bytes(spoilt)) == json.loads(content)
            else:
                assert chosen[0].name == older
        store.write(entry.name, content)
    chosen = choose(store)
    assert chosen is not None
    assert chosen[0].name == newer


def test_nothing_is_loaded_where_nothing_is_good(store: Store) -> None:
    session = train_locally("dlsgan", 16)
    harm(store, save(session, store), "flipped")
    with pytest.raises(StorageError, match="none of the 1 checkpoints"):
        checkpoint.restore(session, store)


def train_more(session: Session, images: int) -> None:
    from ganinv.training import split_batch

    train(session, TRAIN, split_batch(TRAIN, 1), images)


def harm(store: Store, name: str, damage: str) -> None:
    part = folder(name) + "part-00000-of-00001.safetensors"
    payload = bytearray(store.read(part))
    payload[len(payload) // 2] ^= 1
    if damage == "gone":
        store.delete([part])
    else:
        store.write(part, bytes(payload) if damage == "flipped" else bytes(payload[:-9]))


def test_a_damaged_manifest_counts_as_none(store: Store) -> None:
    session = train_locally("dlsgan", 16)
    older = save(session, store)
    train_more(session, 32)
    newer = save(session, store)
    store.write(folder(newer) + "manifest.json", b'{"format": 1, "name": 3')
    assert [m.name for m in manifests_newest_first(store)] == [older]


def test_a_run_does_not_begin_anew_over_checkpoints_that_cannot_be_read(store: Store) -> None:
    name = save(train_locally("dlsgan", 16), store)
    at = folder(name) + "manifest.json"
    content = json.loads(store.read(at))
    del content["image_resolution"]
    store.write(at, json.dumps(content).encode())
    fresh = local_session(make_objective("dlsgan"))
    with pytest.raises(
        StorageError, match=r"an older version .*lacks image_resolution.*go on with"
    ):
        checkpoint.restore(fresh, store)


def test_the_manifest_is_written_last_only_if_absent_and_says_what_there_is(store: Store) -> None:
    written: list[str] = []

    class Watched:
        def __getattr__(self, verb: str) -> object:
            return getattr(store, verb)

        def write(self, name: str, data: memoryview) -> None:
            written.append(name)
            store.write(name, data)

        def write_if_absent(self, name: str, data: bytes) -> None:
            written.append(name)
            store.write_if_absent(name, data)

    name = save(train_locally("dlsgan", 16), Watched())  # type: ignore[arg-type]  # by __getattr__
    assert written[-1] == folder(name) + "manifest.json"
    manifest = Manifest.from_json(store.read(written[-1]), "here")
    assert [folder(name) + o.name for o in manifest.objects] == written[:-1]
    for stored in manifest.objects:
        payload = store.read(folder(name) + stored.name)
        assert (len(payload), hashlib.sha256(payload).hexdigest()) == (
            stored.size_bytes,
            stored.sha256,
        )
        assert safetensors.torch.load(payload)
    with pytest.raises(StorageExistsError):
        store.write_if_absent(written[-1], b"a second writer")


def test_retention_keeps_the_last_and_every_nth(store: Store) -> None:
    session = train_locally("dlsgan", 16)
    keep = CheckpointConfig(keep_last=2, keep_every_images=48)
    for images in range(32, 129, 16):
        train_more(session, images)
        save(session, store, keep)
    kept = [int(name[:12]) for name in committed_names(store)]
    assert kept == [32, 48, 96, 112, 128]  # the first of every 48 images, and the last two
    parts = [e.name for e in store.list("checkpoints/") if e.name.endswith(".safetensors")]
    assert len(parts) == len(kept)


def test_a_checkpoint_of_other_networks_is_refused(store: Store) -> None:
    save(train_locally("dlsgan", 16), store)
    other = local_session(make_objective("pvdgan"))
    with pytest.raises(StorageError, match="does not fit"):
        checkpoint.restore(other, store)
