"""Logs an operation that fails for a while: first failure, new reasons, and recovery."""

import logging
import re
import time

log = logging.getLogger(__name__)
# Parts of a message that differ from one attempt to the next: hashes and numbers.
_VARYING = re.compile(r"[0-9a-f]{8,}|\d+")


class OutageLog:
    """Whether an operation fails at present, and since when. Uses the monotonic clock."""

    def __init__(self, what: str, meanwhile: str) -> None:
        """`what` completes "cannot …"; `meanwhile` says what happens during the outage."""
        self._what = what
        self._meanwhile = meanwhile
        self._since: float | None = None
        self._logged_reason = ""

    @property
    def lasted_s(self) -> float:
        """Seconds since the first failure after the last success; 0 if there was no failure."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def failed(self, error: Exception) -> None:
        if self._since is None:
            self._since = time.monotonic()
        reason = _VARYING.sub("#", str(error))
        if reason != self._logged_reason:
            self._logged_reason = reason
            log.warning("cannot %s, %s: %s", self._what, self._meanwhile, error)

    def succeeded(self) -> None:
        if self._since is not None:
            log.warning("can %s again, after %.0f s", self._what, self.lasted_s)
        self._since = None
        self._logged_reason = ""
