"""A run has one writer at a time, whatever commands start at once and however they end."""

import json
import multiprocessing
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.run_folder import lease as leases
from cluster.run_folder.lease import FencingToken, Holder, lease
from cluster.storage.opening import open_store
from ganinv.errors import LeaseLostError, StorageError, StorageExistsError
from ganinv.seams.stores import Store
from tests.support.clocks import Clock
from tests.support.commands import wait_until

TTL_S = 60.0
elsewhere = replace(leases._myself(), host="far", place="far")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every command that watches a lease."""
    clock = Clock()
    monkeypatch.setattr(leases, "time", clock)
    return clock


def holders(store: Store) -> list[Holder]:
    return [Holder(**json.loads(store.read(entry.name))) for entry in store.list("lease/")]


def silent(text: str) -> None:
    """Print nothing."""


def test_one_command_holds_it_and_others_are_refused_and_told_the_holder(
    store: Store, clock: Clock
) -> None:
    messages: list[str] = []
    with lease(store, TTL_S, silent) as held:
        clock.on_sleep = held.renew
        with pytest.raises(StorageError, match=r"is being written by process \d+ on .*, since 2"):
            lease(store, TTL_S, messages.append).__enter__()
        assert 0 < clock.now < TTL_S
        held.check()
        held.fencing_token.check(store)
    assert "waiting 60 s" in messages[0]
    clock.now = 0.0
    with lease(store, TTL_S, silent) as again:
        assert clock.now == 0  # it was released, so this command did not wait
        assert again.fencing_token.number == held.fencing_token.number + 1
        assert len(holders(store)) == 1  # older objects are deleted
        with pytest.raises(LeaseLostError, match="taken over by process"):
            held.fencing_token.check(store)


def test_a_lease_without_renewals_is_taken_over_and_its_holder_notices(
    store: Store, clock: Clock
) -> None:
    store.write(leases._object(7), leases._text(elsewhere))
    with lease(store, TTL_S, silent) as held:
        assert TTL_S <= clock.now < 1.1 * TTL_S
        assert held.fencing_token.number == 8
        with pytest.raises(LeaseLostError, match=r"taken over by process \d+ on"):
            FencingToken(7, elsewhere.token).check(store)
        with pytest.raises(LeaseLostError):  # as in a folder that was deleted and made again
            FencingToken(8, elsewhere.token).check(store)


def test_a_holder_that_lost_it_notices_by_itself_and_leaves_the_other_object_alone(
    tmp_path: Path,
) -> None:
    store = open_store(str(tmp_path))
    with lease(store, 0.06, silent) as held:
        store.write(leases._object(2), leases._text(elsewhere))
        wait_until(lambda: is_lost(held), 60, "the holder notices", every_s=0.01)
        with pytest.raises(LeaseLostError, match="on far"):
            held.check()
    assert Holder(**json.loads(store.read(leases._object(2)))) == elsewhere


def is_lost(held: leases.Lease) -> bool:
    try:
        held.check()
    except LeaseLostError:
        return True
    return False


def test_a_dead_process_of_this_machine_is_not_waited_for(tmp_path: Path, clock: Clock) -> None:
    store = open_store(str(tmp_path))
    child = multiprocessing.get_context("fork").Process(target=hold_and_die, args=(store,))
    child.start()
    child.join(60)
    assert child.exitcode == 9
    with lease(store, TTL_S, silent) as held:
        assert held.fencing_token.number == 2
    assert clock.now == 0


def hold_and_die(store: Store) -> None:
    with lease(store, TTL_S, silent):
        os._exit(9)


def test_the_holder_renews_its_lease_again_after_an_outage(tmp_path: Path) -> None:
    store = Outage(open_store(str(tmp_path)))
    with lease(store, 0.03, silent) as held:  # type: ignore[arg-type]  # by __getattr__
        store.away.set()
        assert store.refused.wait(60)
        store.away.clear()
        before = holders(store.store)[0].count
        wait_until(lambda: holders(store.store)[0].count > before + 2, 60, "renewals")
        held.check()
    assert holders(store.store)[0].released


class Outage:
    """A store that fails while `away` is set."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.away = threading.Event()
        self.refused = threading.Event()

    def __getattr__(self, verb: str) -> object:
        if self.away.is_set():
            self.refused.set()
            raise StorageError("away")
        return getattr(self.store, verb)


# --- a race of processes ---------------------------------------------------------------------


@pytest.mark.integration
def test_one_of_several_racing_processes_takes_it(s3_store_url: str) -> None:
    """Of a lease that has no renewals, so that all processes want it at once."""
    store = open_store(s3_store_url)
    store.write(leases._object(1), leases._text(elsewhere))
    fork = multiprocessing.get_context("fork")
    renewals, refusals, numbers = fork.Value("i"), fork.Value("i"), fork.Queue()
    processes = [
        fork.Process(target=race, args=(s3_store_url, renewals, refusals, numbers))
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    found = [numbers.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(60)
    assert sorted(found) == [0, 0, 0, 2]


def race(url: str, renewals: Any, refusals: Any, numbers: Any) -> None:
    """Report the number of the lease that this process took, 0 if it was refused.

    Watching takes no real time while the first object is the newest. From then on a watcher sees
    one renewal at least between two looks, so no process can be taken for dead.
    """
    store = open_store(url)
    clock = Clock()
    leases.time = clock  # type: ignore[assignment]  # in this process alone

    def wait_for_renewal() -> None:
        before = renewals.value
        if leases._newest(store) != 1:
            wait_until(lambda: renewals.value > before, 60, "a renewal", every_s=0.01)

    clock.on_sleep = wait_for_renewal
    try:
        with lease(store, TTL_S, silent) as held:
            while refusals.value < 3:
                held.renew()
                renewals.value += 1
                time.sleep(0.01)
            numbers.put(held.fencing_token.number)
    except StorageError:
        with refusals.get_lock():
            refusals.value += 1
        numbers.put(0)


# --- every interleaving of single steps ------------------------------------------------------


STEPS = st.tuples(st.integers(0, 2), st.sampled_from(["list", "take", "renew", "check"]))


@settings(max_examples=60)
@given(st.lists(STEPS, min_size=6, max_size=40))
def test_only_the_last_to_take_it_may_commit(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]]
) -> None:
    """Three commands, each of whose steps may come arbitrarily late."""
    store = open_store(str(tmp_path_factory.mktemp("lease")))
    seen: dict[int, int] = {}
    held: dict[int, FencingToken] = {}
    newest, holder = 0, -1
    for turn, (who, step) in enumerate(steps):
        if step == "list":
            seen[who] = leases._newest(store) or 0
            assert seen[who] == newest
        elif step == "take" and who in seen:
            mine = FencingToken(seen[who] + 1, str(turn))
            try:
                leases._take(store, mine.number, replace(elsewhere, token=mine.token))
            except StorageExistsError:
                assert newest > seen[who]
            else:
                assert newest == seen[who]
                held[who], newest, holder = mine, mine.number, who
        elif step == "renew" and who in held:  # written late, by a command that was suspended
            renewed = replace(elsewhere, token=held[who].token, count=turn)
            store.write(leases._object(held[who].number), leases._text(renewed))
        elif step == "check" and who in held:
            if who == holder:
                held[who].check(store)
            else:
                with pytest.raises(LeaseLostError):
                    held[who].check(store)
