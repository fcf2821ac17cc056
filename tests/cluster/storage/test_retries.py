"""Retries and hedges of scripted requests, on a virtual clock: every case, exactly and at once."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from cluster.storage import retries as storage_retries
from cluster.storage.retries import OUTAGE_FAILURES, RetryPolicy
from ganinv.errors import StorageError, StorageMissingError, StorageUnavailableError
from tests.support.virtual_time import VirtualTimeLoop

TRANSIENT = StorageUnavailableError("away")
SLOW_S = storage_retries.SLOW_UNKNOWN_S
NEVER_S = 1000.0


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualTimeLoop]:
    loop = VirtualTimeLoop()
    monkeypatch.setattr(storage_retries, "time", SimpleNamespace(monotonic=loop.time))
    yield loop
    loop.close()


class Scripted:
    """A request whose n-th attempt raises, or sleeps and then returns its number."""

    def __init__(self, *script: Exception | float) -> None:
        self.script = script
        self.attempts = 0
        self.cancelled = 0

    async def __call__(self) -> int:
        number, self.attempts = self.attempts, self.attempts + 1
        step = self.script[min(number, len(self.script) - 1)]
        if isinstance(step, Exception):
            raise step
        try:
            await asyncio.sleep(step)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return number


def policy(deadline_s: float = 60.0) -> tuple[RetryPolicy, Counter[tuple[str, str]]]:
    """A policy, and how often it repeated which verb in which way."""
    repeated: Counter[tuple[str, str]] = Counter()

    def count(kind: str, op: str) -> None:
        repeated[kind, op] += 1

    return RetryPolicy(deadline_s=deadline_s, on_repeat=count), repeated


def test_a_transient_failure_is_retried_and_counted(loop: VirtualTimeLoop) -> None:
    retries, repeated = policy()
    request = Scripted(TRANSIENT, TRANSIENT, 0.0)
    assert loop.run_until_complete(retries.call("read", "s3://b/x", request)) == 2
    assert repeated == {("retry", "read"): 2}


@pytest.mark.parametrize("error", [StorageError("403"), StorageMissingError("404")])
def test_any_other_failure_is_final(loop: VirtualTimeLoop, error: StorageError) -> None:
    retries, repeated = policy()
    request = Scripted(error)

    async def hedged() -> int:
        return await retries.hedged("read", request)

    with pytest.raises(type(error), match=str(error)):
        loop.run_until_complete(retries.call("read", "s3://b/x", hedged))
    assert request.attempts == 1
    assert not repeated


@pytest.mark.parametrize("script", [TRANSIENT, NEVER_S], ids=["fails", "hangs"])
def test_the_deadline_ends_a_request(loop: VirtualTimeLoop, script: Exception | float) -> None:
    retries, _ = policy(deadline_s=30.0)
    with pytest.raises(
        StorageUnavailableError, match=r"(away|s3://b/x).*gave up after attempt \d+ .*deadline_s"
    ):
        loop.run_until_complete(retries.call("read", "s3://b/x", Scripted(script)))
    # A pause that would pass the deadline is not begun.
    assert 30.0 - storage_retries.MAX_PAUSE_S <= loop.time() <= 30.0


def test_one_line_as_an_outage_begins_and_one_as_it_ends(
    loop: VirtualTimeLoop, caplog: pytest.LogCaptureFixture
) -> None:
    retries, _ = policy()
    caplog.set_level(logging.INFO)
    loop.run_until_complete(retries.call("read", "s3://b/x", Scripted(TRANSIENT, 0.0)))
    assert not caplog.messages  # a single failure is no outage

    failures = Counter[int]()

    async def request(number: int) -> None:
        """Fails until each of the requests has failed often enough for an outage."""
        if len(failures) < 8 or min(failures.values()) < OUTAGE_FAILURES:
            failures[number] += 1
            raise TRANSIENT

    async def outage() -> None:
        calls = (retries.call("read", "x", lambda n=n: request(n)) for n in range(8))
        await asyncio.gather(*calls)

    loop.run_until_complete(outage())
    start, end = caplog.messages
    assert "retrying" in start
    assert "answers again" in end


def test_a_slow_request_is_overtaken_and_cancelled(loop: VirtualTimeLoop) -> None:
    retries, repeated = policy()
    request = Scripted(NEVER_S, 0.5)
    assert loop.run_until_complete(retries.hedged("read", request)) == 1
    assert request.cancelled == 1
    assert repeated == {("hedge", "read"): 1}
    assert loop.time() == SLOW_S + 0.5


@pytest.mark.parametrize("second", [NEVER_S, TRANSIENT], ids=["hangs", "fails"])
def test_the_first_of_two_may_still_win(loop: VirtualTimeLoop, second: Exception | float) -> None:
    retries, _ = policy()
    request = Scripted(SLOW_S + 1, second)
    assert loop.run_until_complete(retries.hedged("read", request)) == 0
    assert request.attempts == 2
    assert loop.time() == SLOW_S + 1


def test_hedges_are_a_small_part_of_all_requests(loop: VirtualTimeLoop) -> None:
    retries, repeated = policy()
    requests = [Scripted(SLOW_S + 1) for _ in range(100)]

    async def all_slow() -> None:
        await asyncio.gather(*(retries.hedged("read", request) for request in requests))

    loop.run_until_complete(all_slow())
    limit = storage_retries.HEDGES_AT_FIRST + 100 * storage_retries.HEDGE_RATIO + 1
    assert 0 < repeated["hedge", "read"] <= limit


@pytest.mark.parametrize(("slower", "hedged"), [(1.9, False), (2.1, True)])
def test_what_counts_as_slow_is_learned(loop: VirtualTimeLoop, slower: float, hedged: bool) -> None:
    """A request is slow from twice the usual time on, which differs from the initial guess."""
    retries, repeated = policy()
    usual_s = 0.25 * SLOW_S
    last = Scripted(slower * usual_s)

    async def run() -> None:
        for _ in range(storage_retries.MIN_REMEMBERED):
            await retries.hedged("read", Scripted(usual_s))
        await retries.hedged("read", last)

    loop.run_until_complete(run())
    assert last.attempts == 1 + hedged
    assert repeated["hedge", "read"] == hedged
