"""Retries and hedges on requests that are scripted, so that every case is there and fast."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from cluster.storage import patience as storage_patience
from cluster.storage.patience import Patience
from ganinv.errors import StorageError, StorageMissingError, StorageUnavailableError

PASSING = StorageUnavailableError("away")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_patience, "FIRST_PAUSE_S", 0.0005)
    monkeypatch.setattr(storage_patience, "MAX_PAUSE_S", 0.005)
    monkeypatch.setattr(storage_patience, "STRAGGLER_UNKNOWN_S", 0.02)
    monkeypatch.setattr(storage_patience, "STRAGGLER_FLOOR_S", 0.02)


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


def patience(deadline_s: float = 2.0) -> tuple[Patience, Counter[tuple[str, str]]]:
    told: Counter[tuple[str, str]] = Counter()

    def tell(kind: str, op: str) -> None:
        told[kind, op] += 1

    return Patience(deadline_s=deadline_s, on_extra=tell), told


def test_what_passes_is_tried_again_and_counted() -> None:
    patient, told = patience()
    request = Scripted(PASSING, PASSING, 0.0)
    assert asyncio.run(patient.call("read", "s3://b/x", request)) == 2
    assert told == {("retry", "read"): 2}


@pytest.mark.parametrize("error", [StorageError("403"), StorageMissingError("404")])
def test_what_does_not_pass_fails_at_once(error: StorageError) -> None:
    patient, told = patience()
    request = Scripted(error)
    with pytest.raises(type(error), match=str(error)):
        asyncio.run(patient.call("read", "s3://b/x", lambda: patient.hedged("read", request)))
    assert request.attempts == 1
    assert not told


@pytest.mark.parametrize("request_", [Scripted(PASSING), Scripted(60.0)], ids=["fails", "hangs"])
def test_the_deadline_ends_it(request_: Scripted) -> None:
    patient, _ = patience(deadline_s=0.05)
    with pytest.raises(
        StorageUnavailableError, match=r"(away|s3://b/x).*gave up after attempt \d+ .*deadline_s"
    ):
        asyncio.run(patient.call("read", "s3://b/x", request_))


def test_one_line_as_an_outage_begins_and_one_as_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    patient, _ = patience()
    caplog.set_level(logging.INFO)
    asyncio.run(patient.call("read", "s3://b/x", Scripted(PASSING, 0.0)))
    assert not caplog.messages  # a single failure is no outage

    over = time.monotonic() + 0.05

    async def request() -> None:
        if time.monotonic() < over:
            raise PASSING

    async def outage() -> None:
        await asyncio.gather(*(patient.call("read", "s3://b/x", request) for _ in range(8)))

    asyncio.run(outage())
    start, end = caplog.messages
    assert "trying again" in start
    assert "answers again" in end


def test_a_straggler_is_overtaken_and_cancelled() -> None:
    patient, told = patience()
    request = Scripted(30.0, 0.0)
    assert asyncio.run(patient.hedged("read", request)) == 1
    assert request.cancelled == 1
    assert told == {("hedge", "read"): 1}


def test_the_first_of_two_may_still_win() -> None:
    patient, _ = patience()
    for second in (30.0, PASSING):
        request = Scripted(0.05, second)
        assert asyncio.run(patient.hedged("read", request)) == 0
        assert request.attempts == 2


def test_hedges_are_a_small_part_of_all_requests() -> None:
    patient, told = patience()
    requests = [Scripted(0.03, 0.03) for _ in range(100)]

    async def all_slow() -> None:
        await asyncio.gather(*(patient.hedged("read", request) for request in requests))

    asyncio.run(all_slow())
    limit = storage_patience.HEDGES_AT_FIRST + 100 * storage_patience.HEDGE_RATIO + 1
    assert 0 < told["hedge", "read"] <= limit


def test_what_counts_as_slow_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    patient, told = patience()
    ordinary: Callable[[], Awaitable[int]] = Scripted(0.015)
    slow = Scripted(0.025)

    async def run() -> None:
        for _ in range(storage_patience.ENOUGH_REMEMBERED):
            await patient.hedged("read", ordinary)
        await patient.hedged("read", slow)  # above the floor, below twice what is usual

    asyncio.run(run())
    assert slow.attempts == 1
    assert not told
