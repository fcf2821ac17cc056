"""Storage that fails for a while: said once as it begins, once per new reason, once as it ends."""

import logging
import re
import time

log = logging.getLogger(__name__)
# Parts of a message that differ from one attempt to the next and are no news.
_VARYING = re.compile(r"[0-9a-f]{8,}|\d+")


class Trouble:
    """Whether `what` fails just now. Times are of this process' monotonic clock."""

    def __init__(self, what: str, meanwhile: str) -> None:
        """`what` cannot be done while it lasts; `meanwhile` says what happens instead."""
        self._what = what
        self._meanwhile = meanwhile
        self._since: float | None = None
        self._said = ""

    @property
    def lasted_s(self) -> float:
        """Since the first failure after the last success; 0 if there is no trouble."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def failed(self, error: Exception) -> None:
        if self._since is None:
            self._since = time.monotonic()
        reason = _VARYING.sub("#", str(error))
        if reason != self._said:
            self._said = reason
            log.warning("cannot %s, %s: %s", self._what, self._meanwhile, error)

    def over(self) -> None:
        if self._since is not None:
            log.warning("can %s again, after %.0f s", self._what, self.lasted_s)
        self._since = None
        self._said = ""
