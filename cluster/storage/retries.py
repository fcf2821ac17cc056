"""Repeated requests: a retry after a transient failure, a hedge beside a slow request.

Pauses grow exponentially with full jitter, so that many workers do not retry at the same moment.
`StorageUnavailableError` marks a transient failure; every other error is final.
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
# Failures of one request in a row that count as an outage, not as a lost packet.
OUTAGE_FAILURES = 3
# A request is slow after SLOW_FACTOR times the 95th percentile of the REMEMBERED latest ones, and
# after at least SLOW_FLOOR_S; while fewer than MIN_REMEMBERED are known, after SLOW_UNKNOWN_S.
SLOW_FACTOR = 2.0
REMEMBERED = 128
SLOW_FLOOR_S = 0.1
MIN_REMEMBERED = 16
SLOW_UNKNOWN_S = 2.0
# Hedges per request: the load that hedging may add to a store that is slow already.
HEDGE_RATIO = 0.05
HEDGES_AT_FIRST = 2

T = TypeVar("T")
Attempt = Callable[[], Awaitable[T]]
# Called for each repeated request, with its kind and the verb.
OnRepeat = Callable[[Literal["retry", "hedge"], str], None]


def _ignore(kind: Literal["retry", "hedge"], op: str) -> None:
    """The default `on_repeat`."""


@dataclass(kw_only=True)
class RetryPolicy:
    """Repeats the requests of one store. Not thread-safe: all calls run on one event loop."""

    deadline_s: float
    """Seconds from a request's first attempt until the request fails for good."""
    option: str = "data.deadline_s"
    """The option that sets `deadline_s`, for error messages."""
    on_repeat: OnRepeat = _ignore
    _requests: int = 0
    _hedges: int = 0
    _latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _outage_since: float | None = None

    async def call(self, op: str, what: str, attempt: Attempt[T]) -> T:
        """The result of `attempt`, repeated while it raises `StorageUnavailableError`.

        After `deadline_s` the last such error is raised, with the time spent. `what` names the
        object in the message if no attempt has ended by then.
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
                        f"{self.option} sets how long to try)"
                    ) from error
                self._failed(op, failures, error)
                await asyncio.sleep(pause_s)
            else:
                self._answered()
                return result

    async def hedged(self, op: str, attempt: Attempt[T]) -> T:
        """The result of `attempt`, or of a second attempt if the first takes unusually long.

        The first result wins, and the other attempt is cancelled. Fails if both attempts fail.
        """
        self._requests += 1
        started = time.monotonic()
        tasks = {asyncio.ensure_future(attempt())}
        try:
            done, pending = await asyncio.wait(tasks, timeout=self._slow_after_s())
            if pending and self._hedges < HEDGES_AT_FIRST + HEDGE_RATIO * self._requests:
                self._hedges += 1
                self.on_repeat("hedge", op)
                tasks.add(asyncio.ensure_future(attempt()))
            while not any(task.exception() is None for task in done) and len(done) < len(tasks):
                more, _ = await asyncio.wait(tasks - done, return_when=asyncio.FIRST_COMPLETED)
                done |= more
            # Prefers a result; if both attempts failed, this raises the error of one of them.
            result = min(done, key=lambda task: task.exception() is not None).result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._latencies_s.append(time.monotonic() - started)
        return result

    def _slow_after_s(self) -> float:
        """Seconds after which a request is slow, learned from the latest requests."""
        if len(self._latencies_s) < MIN_REMEMBERED:
            return SLOW_UNKNOWN_S
        ordered = sorted(self._latencies_s)
        return max(SLOW_FLOOR_S, SLOW_FACTOR * ordered[int(0.95 * len(ordered))])

    def _failed(self, op: str, failures: int, error: Exception) -> None:
        self.on_repeat("retry", op)
        if failures >= OUTAGE_FAILURES and self._outage_since is None:
            self._outage_since = time.monotonic()
            log.warning("storage fails, retrying for up to %g s: %s", self.deadline_s, error)

    def _answered(self) -> None:
        if self._outage_since is not None:
            took_s = time.monotonic() - self._outage_since
            self._outage_since = None
            log.warning("storage answers again, after %.1f s", took_s)
