"""Saves during training commit the state of the moment once, whatever storage does."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cluster.checkpoints import committing, saving
from cluster.checkpoints.contents import new_manifest
from cluster.config import CheckpointConfig
from cluster.storage.opening import open_store
from ganinv import objectives
from ganinv.errors import LeaseLostError, StorageError, StorageFullError
from ganinv.saved import format as names
from ganinv.saved.checkpoints import choose
from ganinv.saved.format import folder
from ganinv.saved.manifest import committed_names
from ganinv.seams.stores import Store
from ganinv.training.config import lay_out_batch
from ganinv.training.session import Session
from tests.support.clocks import Clock
from tests.support.commands import wait_until
from tests.support.harassed import Harassed
from tests.support.runs import TRAIN, snapshot, train, train_locally
from tests.support.saves import IDENTITY, Counts, save, saver_of

KEEP = CheckpointConfig(keep_last=2)
OLD = f"{1:012d}-0000000a"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(saving, "MAX_PAUSE_S", 0.01)


@pytest.fixture
def harassed(tmp_path: Path) -> Harassed:
    return Harassed(open_store(str(tmp_path / "run")))


def train_on(session: Session, images: int) -> None:
    train(session, TRAIN, lay_out_batch(TRAIN, 1), images)


def images_of(store: Store) -> list[int]:
    return [int(name[:12]) for name in committed_names(store)]


def saved(store: Store) -> dict[str, Tensor]:
    chosen = choose(store)
    assert chosen is not None
    return chosen[1]


@pytest.mark.parametrize("objective", objectives.names())
def test_a_save_holds_the_state_of_the_moment(
    objective: str, harassed: Harassed, tmp_path: Path
) -> None:
    session = train_locally(objective, 16)
    reference = open_store(str(tmp_path / "reference"))
    save(session, reference)
    harassed.gate.clear()
    with saver_of(harassed, KEEP) as saver:  # type: ignore[arg-type]  # by __getattr__
        name = saver.save(session)
        before = snapshot(session)
        train_on(session, 32)
        assert any(not torch.equal(before[n], t) for n, t in snapshot(session).items())
        assert committed_names(harassed.store) == []
        harassed.gate.set()
        saver.finish(session)
    assert images_of(harassed.store) == [16, 32]
    assert name is not None
    parts = [e.name for e in harassed.store.list(folder(name)) if "part" in e.name]
    found = {n.rpartition("/")[2]: harassed.store.read(n) for n in parts}
    assert found == {
        e.name.rpartition("/")[2]: reference.read(e.name)
        for e in reference.list("checkpoints/")
        if "part" in e.name
    }


class TickingClock(Clock):
    """Every reading is later than the one before."""

    def monotonic(self) -> float:
        self.now += 0.001
        return self.now


def test_a_save_waits_for_the_previous_one_and_reports_how_long(
    harassed: Harassed, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, counts = train_locally("dlsgan", 16), Counts()
    clock = TickingClock()
    monkeypatch.setattr(saving, "time", clock)
    harassed.gate.clear()
    with saver_of(harassed, KEEP, counts) as saver:  # type: ignore[arg-type]  # by __getattr__
        saver.save(session)
        assert harassed.reached.wait(10)
        train_on(session, 32)
        settled = saver._settled
        wait = settled.wait

        def wait_five_seconds(timeout: float) -> bool:
            assert not settled.is_set()  # the first save is still in progress
            clock.now += 5.0
            harassed.gate.set()
            return wait(timeout)

        monkeypatch.setattr(settled, "wait", wait_five_seconds)
        assert saver.save(session) is not None
        saver.finish(session)
    assert counts.images == [16, 32]
    assert 5.0 < counts.waited_s < 5.1


def test_unusable_storage_stops_nothing_and_is_logged_once(
    harassed: Harassed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    session, counts = train_locally("dlsgan", 16), Counts()
    failing = threading.Event()
    failing.set()
    harassed.fault = lambda name: (
        StorageError(f"refused {name}") if failing.is_set() and "checkpoints" in name else None
    )
    with saver_of(harassed, KEEP, counts) as saver:  # type: ignore[arg-type]  # by __getattr__
        assert saver.save(session) is not None
        for images in (32, 48):
            train_on(session, images)
            assert saver.save(session) is None  # skipped: the first save is being retried
        wait_until(lambda: counts.failures >= 3, 10, "three attempts")
        assert not counts.images
        failing.clear()
        saver.finish(session)
    assert images_of(harassed.store) == [16, 48]
    assert counts.images == [16, 48]
    assert not counts.given_up
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(said) == 2, said
    assert "training continues: refused" in said[0]
    assert "again, after" in said[1]


def test_after_the_limit_the_run_ends(harassed: Harassed) -> None:
    session, counts = train_locally("dlsgan", 16), Counts()
    keep = CheckpointConfig(trouble_limit_s=0.05)
    good = save(session, harassed.store, keep)
    harassed.fault = lambda _: StorageError("the bucket is gone")
    train_on(session, 32)
    with saver_of(harassed, keep, counts) as saver:  # type: ignore[arg-type]  # by __getattr__
        saver.save(session)
        with pytest.raises(StorageError, match=r"trouble_limit_s = 0\.05: the bucket is gone") as e:
            saver.finish(session)
        with pytest.raises(StorageError, match="the bucket is gone"):
            saver.save(session)
    assert counts.given_up == [e.value]
    assert e.value.exit_status == 3
    assert str(harassed.store.url) in str(e.value)
    assert committed_names(harassed.store) == [good]


def test_a_run_that_lost_its_lease_commits_nothing(harassed: Harassed) -> None:
    session, counts = train_locally("dlsgan", 16), Counts()

    def lost() -> None:
        raise LeaseLostError("taken over")

    saver = saving.Saver(
        harassed,  # type: ignore[arg-type]  # by __getattr__
        IDENTITY,
        KEEP,
        observer=counts,
        before_commit=lost,
        give_up=counts.given_up.append,
        resumed=None,
    )
    with saver:
        saver.save(session)
        with pytest.raises(LeaseLostError):
            saver.finish(session)
    assert committed_names(harassed.store) == []
    assert isinstance(counts.given_up[0], LeaseLostError)


def test_full_storage_deletes_leftovers_and_nothing_else(harassed: Harassed) -> None:
    session = train_locally("dlsgan", 16)
    store = harassed.store
    good = save(session, store)
    leftover = folder(OLD) + "part-00000-of-00001.safetensors"
    store.write(leftover, b"half")
    store.write("evaluations/x.json", b"{}")
    store.write(f"checkpoints/{999:012d}-0000000b/part", b"of a later attempt")

    def full(name: str) -> Exception | None:
        there = any(entry.name == leftover for entry in store.list())
        return StorageFullError("disk full") if there else None

    harassed.fault = full
    train_on(session, 32)
    with saver_of(harassed, KEEP) as saver:  # type: ignore[arg-type]  # by __getattr__
        saver.save(session)
        saver.finish(session)
    assert images_of(store) == [16, 32]
    assert good in committed_names(store)
    rest = {entry.name for entry in store.list() if "checkpoints" not in entry.name}
    assert rest == {"evaluations/x.json"}
    assert store.list(f"checkpoints/{999:012d}")  # it may be in progress


def test_the_newest_whole_checkpoint_survives_retention(store: Store) -> None:
    """Even if corrupt checkpoints have later names."""
    session = train_locally("dlsgan", 16)
    for images in (900, 901, 902):
        store.write(f"checkpoints/{images:012d}-ffffffff/manifest.json", b"damaged")
    name = save(session, store)
    assert name in committed_names(store)


def test_a_failed_deletion_is_not_a_failed_save(
    harassed: Harassed, caplog: pytest.LogCaptureFixture
) -> None:
    session, counts = train_locally("dlsgan", 16), Counts()

    def refuse(names: list[str]) -> None:
        raise StorageError("may not delete")

    harassed.delete = refuse  # type: ignore[attr-defined]  # in place of the store's
    with saver_of(harassed, KEEP, counts) as saver:  # type: ignore[arg-type]  # by __getattr__
        for images in (32, 48, 64):
            train_on(session, images)
            saver.save(session)
            saver.finish(session)
    assert images_of(harassed.store) == [32, 48, 64]
    assert counts.failures == 0
    assert caplog.text.count("cannot delete old checkpoints") == 1


def test_another_writers_checkpoint_of_the_same_name_is_left_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, counts = train_locally("dlsgan", 16), Counts()
    tokens = iter(["0000aaaa", "0000bbbb"])
    monkeypatch.setattr(names.secrets, "token_hex", lambda _: next(tokens))
    theirs = folder(f"{16:012d}-0000aaaa") + "manifest.json"
    store.write(theirs, b"theirs")
    with saver_of(store, KEEP, counts) as saver:
        saver.save(session)
        saver.finish(session)
    assert store.read(theirs) == b"theirs"
    assert counts.failures == 1
    assert counts.images == [16]
    assert committed_names(store)[-1].endswith("0000bbbb")


def test_one_of_two_racing_writers_commits(store: Store) -> None:
    session = train_locally("dlsgan", 16)
    manifests = []
    for created in (1.0, 2.0):
        manifest = new_manifest(session, IDENTITY, f"{16:012d}-0123abcd")
        manifests.append(replace(manifest, created=created))
    barrier = threading.Barrier(2)

    def wins(number: int) -> bool:
        barrier.wait(10)
        try:
            committing.commit(store, manifests[number])
        except StorageError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        won = list(pool.map(wins, (0, 1)))
    assert sorted(won) == [False, True]
    committing.commit(store, manifests[won.index(True)])  # as if the reply was lost
    assert store.read(folder(manifests[0].name) + "manifest.json") == (
        manifests[won.index(True)].to_json()
    )
