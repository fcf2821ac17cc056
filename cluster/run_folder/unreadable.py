"""Records of a run that cannot be read: each is named once and left out.

The records tell people about a run, and training does not need them. So a torn or foreign one stops
neither training nor the commands that show a run.
"""

import logging

log = logging.getLogger(__name__)
_named: set[str] = set()  # by this process; a page that follows a run reads records all the time


def leave_out(where: str, reason: object) -> None:
    """Say that the record at `where` is left out, if that has not been said before."""
    message = f"{where} cannot be read and is left out ({reason}); repair or delete it"
    if message not in _named:
        _named.add(message)
        log.warning("%s", message)
