"""Checkpoints in one process, in every store: read back as written, and never half."""

import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from cluster.checkpoints import contents as checkpoint
from cluster.config import CheckpointConfig
from cluster.storage.opening import open_store
from ganinv import objectives
from ganinv.augmentation.options import AugmentConfig
from ganinv.errors import StorageError, StorageExistsError
from ganinv.saved.checkpoints import choose
from ganinv.saved.format import folder
from ganinv.saved.manifest import Manifest, committed_names, manifests_newest_first
from ganinv.seams.stores import Store
from ganinv.training.session import Session
from tests.support.runs import (
    TRAIN,
    local_session,
    make_objective,
    snapshot,
    train,
    train_locally,
)
from tests.support.saves import IDENTITY, save
from tests.support.states import equal, whole_state

HALF = 32  # images seen


def test_round_trip_into_a_new_session(store: Store) -> None:
    session = train_locally("pvdgan", HALF)
    name = save(session, store)
    expected = whole_state(store)
    restored = local_session(make_objective("pvdgan"), replace(TRAIN, seed=7))
    manifest = checkpoint.restore(restored, store, IDENTITY)
    assert manifest is not None
    assert (manifest.name, manifest.position) == (name, session.position)
    assert manifest.name.startswith(f"{HALF:012d}-")
    again = save(restored, store)
    assert again != name
    equal(whole_state(store), expected)


@pytest.mark.parametrize(
    ("objective", "options"),
    [
        *((name, {}) for name in objectives.names()),
        ("vaegan", {"margin": 0.05}),
        # At the break, the signs of two steps wait for a third one to move p.
        ("dlsgan", {"augment": AugmentConfig(kind="adaptive", p=0.4, interval=3)}),
    ],
)
def test_a_resumed_session_ends_as_one_without_a_break(
    objective: str, options: dict[str, Any], tmp_path: Path
) -> None:
    """Every bit, whatever networks, optimizers and state the method has."""
    store = open_store(str(tmp_path))
    session = train_locally(objective, HALF, **options)
    save(session, store)
    resumed = local_session(make_objective(objective, **options), replace(TRAIN, seed=7))
    checkpoint.restore(resumed, store, IDENTITY)
    for one in (session, resumed):
        train_more(one, 2 * HALF)
    expected, found = snapshot(session), snapshot(resumed)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_without_a_manifest_a_checkpoint_does_not_exist(store: Store) -> None:
    session = train_locally("dlsgan", 16)
    store.write(folder(f"{999:012d}-0123abcd") + "part-00000-of-00001.safetensors", b"half")
    assert checkpoint.restore(session, store, IDENTITY) is None
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
    manifest = checkpoint.restore(restored, store, IDENTITY)
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
        checkpoint.restore(session, store, IDENTITY)


def train_more(session: Session, images: int) -> None:
    from ganinv.training.config import lay_out_batch

    train(session, TRAIN, lay_out_batch(TRAIN, 1), images)


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
        StorageError, match=r"an older version .*lacks image_resolution.*resume with"
    ):
        checkpoint.restore(fresh, store, IDENTITY)


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
        checkpoint.restore(other, store, IDENTITY)
