"""A run has one writer at a time, whatever commands do at once and however they end."""

import json
import multiprocessing
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.run_folder import lease as leases
from cluster.run_folder.lease import Held, Holder, lease
from cluster.storage.opening import open_store
from ganinv.errors import LeaseLostError, StorageError, StorageExistsError
from ganinv.seams.stores import Store

TTL_S = 0.6
elsewhere = replace(leases._myself(), host="far", place="far")


def holders(store: Store) -> list[Holder]:
    return [Holder(**json.loads(store.read(entry.name))) for entry in store.list("lease/")]


def silent(text: str) -> None:
    """Nobody is told."""


def test_one_holds_it_others_are_refused_and_told_whom(store: Store) -> None:
    told: list[str] = []
    with lease(store, TTL_S, silent) as held:
        with pytest.raises(StorageError, match=r"is being written by process \d+ on .*, since 2"):
            lease(store, TTL_S, told.append).__enter__()
        held.check()
        held.held.check(store)
    assert "watching for 0.6 s" in told[0]
    started = time.monotonic()
    with lease(store, 60, silent) as again:  # released, so nobody waits
        assert again.held.number == held.held.number + 1
        assert len(holders(store)) == 1  # only the newest stays
        with pytest.raises(LeaseLostError, match="taken over by process"):
            held.held.check(store)
    assert time.monotonic() - started < 20


def test_what_stands_still_is_taken_over_and_its_holder_learns_of_it(store: Store) -> None:
    store.write(leases._object(7), leases._text(elsewhere))
    started = time.monotonic()
    with lease(store, TTL_S, silent) as held:
        assert time.monotonic() - started >= TTL_S
        assert held.held.number == 8
        with pytest.raises(LeaseLostError, match=r"taken over by process \d+ on"):
            Held(7, elsewhere.token).check(store)
        with pytest.raises(LeaseLostError):  # a folder that was made anew has numbers of its own
            Held(8, elsewhere.token).check(store)


def test_a_holder_that_lost_notices_by_itself_and_leaves_the_other_alone(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with lease(store, 0.06, silent) as held:
        store.write(leases._object(2), leases._text(elsewhere))
        with pytest.raises(LeaseLostError, match="on far"):
            poll(held)
    assert Holder(**json.loads(store.read(leases._object(2)))) == elsewhere


def poll(held: leases.Lease) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        held.check()


def test_a_process_of_this_machine_that_is_gone_is_not_waited_for(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    child = multiprocessing.get_context("fork").Process(target=hold_and_die, args=(store,))
    child.start()
    child.join(20)
    assert child.exitcode == 9
    started = time.monotonic()
    with lease(store, 60, silent) as held:
        assert held.held.number == 2
    assert time.monotonic() - started < 10


def hold_and_die(store: Store) -> None:
    with lease(store, 60, silent):
        os._exit(9)


def test_a_store_that_is_away_for_a_while_costs_nothing(tmp_path: Path) -> None:
    """Renewing goes on after it."""
    store = Away(open_store(str(tmp_path)))
    with lease(store, 0.03, silent) as held:  # type: ignore[arg-type]  # by __getattr__
        store.away.set()
        assert store.asked.wait(10)
        store.away.clear()
        before = holders(store.store)[0].count
        end = time.monotonic() + 10
        while holders(store.store)[0].count <= before + 2:
            assert time.monotonic() < end
        held.check()
    assert holders(store.store)[0].released


class Away:
    """A store that fails while `away` is set."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.away = threading.Event()
        self.asked = threading.Event()

    def __getattr__(self, verb: str) -> object:
        if self.away.is_set():
            self.asked.set()
            raise StorageError("away")
        return getattr(self.store, verb)


@pytest.mark.integration
def test_of_processes_that_race_one_holds_it(s3_store_url: str) -> None:
    """On a lease that nobody renews any more, so that all want it at once."""
    store = open_store(s3_store_url)
    store.write(leases._object(1), leases._text(elsewhere))
    with multiprocessing.get_context("fork").Pool(4) as pool:
        numbers = pool.map(try_to_hold, [s3_store_url] * 4)
    assert sorted(numbers) == [0, 0, 0, 2]


def try_to_hold(url: str) -> int:
    """The number it was held under, 0 if it was refused."""
    store = open_store(url)
    try:
        with lease(store, 1.5, silent) as held:
            time.sleep(4)  # longer than the others watch
            return held.held.number
    except StorageError:
        return 0


# --- any interleaving of single steps --------------------------------------------------------


STEPS = st.tuples(st.integers(0, 2), st.sampled_from(["look", "take", "beat", "check"]))


@settings(max_examples=60)
@given(st.lists(STEPS, min_size=6, max_size=40))
def test_only_the_last_to_take_it_may_commit(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]]
) -> None:
    """Three commands, each of whose steps may be as late as can be."""
    store = open_store(str(tmp_path_factory.mktemp("lease")))
    seen: dict[int, int] = {}
    held: dict[int, Held] = {}
    newest, holder = 0, -1
    for turn, (who, step) in enumerate(steps):
        if step == "look":
            seen[who] = leases._newest(store) or 0
            assert seen[who] == newest
        elif step == "take" and who in seen:
            mine = Held(seen[who] + 1, str(turn))
            try:
                leases._take(store, mine.number, replace(elsewhere, token=mine.token))
            except StorageExistsError:
                assert newest > seen[who]
            else:
                assert newest == seen[who]
                held[who], newest, holder = mine, mine.number, who
        elif step == "beat" and who in held:  # written late, by one that was asleep
            beating = replace(elsewhere, token=held[who].token, count=turn)
            store.write(leases._object(held[who].number), leases._text(beating))
        elif step == "check" and who in held:
            if who == holder:
                held[who].check(store)
            else:
                with pytest.raises(LeaseLostError):
                    held[who].check(store)
