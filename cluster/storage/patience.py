"""Patience with a store: another attempt after a passing failure, a second one beside a straggler.

Waits grow exponentially with full jitter, so that many workers do not come back at once. What may
pass is told by `StorageUnavailableError`; everything else fails at once.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from ganinv.errors import StorageUnavailableError

log = logging.getLogger(__name__)
FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 5.0
# A request that failed so many times in a row tells of an outage, not of one unlucky packet.
OUTAGE_FAILURES = 3
# A request is a straggler beyond so many times the 95th percentile of the last ones …
STRAGGLER_FACTOR = 2.0
STRAGGLER_FLOOR_S = 0.1
REMEMBERED = 128
# … of which there must be so many; before, it is one after this time.
ENOUGH_REMEMBERED = 16
STRAGGLER_UNKNOWN_S = 2.0
# Second requests per request: what hedging may add to the load of a store that is slow already.
HEDGE_RATIO = 0.05
HEDGES_AT_FIRST = 2

T = TypeVar("T")
Attempt = Callable[[], Awaitable[T]]
# Told of what was done besides the plain requests, and for which verb.
OnExtra = Callable[[Literal["retry", "hedge"], str], None]


def tell_nobody(kind: Literal["retry", "hedge"], op: str) -> None:
    """For those who do not count."""


@dataclass(kw_only=True)
class Patience:
    """How a store's requests are repeated. Everything happens on one event loop."""

    deadline_s: float
    """From the first attempt of a request to giving it up."""
    option: str = "data.deadline_s"
    """The key by which a user sets it."""
    on_extra: OnExtra = tell_nobody
    _requests: int = 0
    _hedges: int = 0
    _latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _outage_since: float | None = None

    async def call(self, op: str, what: str, attempt: Attempt[T]) -> T:
        """The result of `attempt`, repeated while it raises `StorageUnavailableError`.

        After `deadline_s` the last such error is raised, with the time it took. `what` names the
        object for the case that no attempt came to an end.
        """
        started = time.monotonic()
        failures = 0
        while True:
            try:
                async with asyncio.timeout(started + self.deadline_s - time.monotonic()):
                    result = await attempt()
            except (StorageUnavailableError, TimeoutError) as error:
                failures += 1
                longest_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2**failures)
                pause_s = random.uniform(0, longest_s)  # noqa: S311 (jitter keeps no secret)
                taken_s = time.monotonic() - started
                if taken_s + pause_s >= self.deadline_s:
                    reason = str(error) or f"{what}: the endpoint does not answer"
                    raise StorageUnavailableError(
                        f"{reason} (gave up after attempt {failures} in {taken_s:.0f} s; "
                        f"{self.option} is how long to try)"
                    ) from error
                self._failed(op, failures, error)
                await asyncio.sleep(pause_s)
            else:
                self._answered()
                return result

    async def hedged(self, op: str, attempt: Attempt[T]) -> T:
        """The result of `attempt`, or of a second one if the first takes unusually long.

        The first result wins, and the other request is cancelled. Fails when all have failed.
        """
        self._requests += 1
        started = time.monotonic()
        tasks = {asyncio.ensure_future(attempt())}
        try:
            done, pending = await asyncio.wait(tasks, timeout=self._straggler_s())
            if pending and self._hedges < HEDGES_AT_FIRST + HEDGE_RATIO * self._requests:
                self._hedges += 1
                self.on_extra("hedge", op)
                tasks.add(asyncio.ensure_future(attempt()))
            while not any(task.exception() is None for task in done) and len(done) < len(tasks):
                more, _ = await asyncio.wait(tasks - done, return_when=asyncio.FIRST_COMPLETED)
                done |= more
            # Prefers a result; without any this raises the error of one of them.
            result = min(done, key=lambda task: task.exception() is not None).result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._latencies_s.append(time.monotonic() - started)
        return result

    def _straggler_s(self) -> float:
        """From when on a request counts as one; learned from the last ones."""
        if len(self._latencies_s) < ENOUGH_REMEMBERED:
            return STRAGGLER_UNKNOWN_S
        ordered = sorted(self._latencies_s)
        return max(STRAGGLER_FLOOR_S, STRAGGLER_FACTOR * ordered[int(0.95 * len(ordered))])

    def _failed(self, op: str, failures: int, error: Exception) -> None:
        self.on_extra("retry", op)
        if failures >= OUTAGE_FAILURES and self._outage_since is None:
            self._outage_since = time.monotonic()
            log.warning("storage fails, trying again for up to %g s: %s", self.deadline_s, error)

    def _answered(self) -> None:
        if self._outage_since is not None:
            took_s = time.monotonic() - self._outage_since
            self._outage_since = None
            log.warning("storage answers again, after %.1f s", took_s)
