"""Says how long a training took to start, phase by phase, and the same after every restart."""

import time
from collections.abc import Sequence

from cluster.phases import Phases, in_words
from cluster.run_folder.group_history import GroupRecord


class StartReport:
    """The command's own phases, and one line for each worker group that has begun to train."""

    def __init__(self, before: float = 0.0) -> None:
        """`before`: seconds that the command's process had taken until now, for its imports."""
        self._phases = Phases(before)
        self._ended = time.time()
        self._reported = 0  # groups

    def end(self, name: str) -> None:
        """End the present phase of the command, which is called `name`."""
        self._phases.end(name)
        self._ended = time.time()

    def lines(self, groups: Sequence[GroupRecord]) -> list[str]:
        """One line for each group that has made its first step since the last call."""
        found = []
        for number, group in enumerate(groups[self._reported :], self._reported):
            if group.starting is None:
                if group.reason is None:
                    break  # it is starting
            else:
                found.append(self._describe(group, is_first=number == 0))
            self._reported = number + 1
        return found

    def _describe(self, group: GroupRecord, is_first: bool) -> str:
        seconds = dict(group.starting or {})
        if not is_first:
            return _line("first step {:.1f} s after the restart", seconds)
        # Between Ray's start and the launch, the run's directory and its supervisor started. The
        # launch has the head node's clock.
        supervisor = max(0.0, group.launched - self._ended)
        seconds = {**self._phases.seconds, "supervisor": supervisor, **seconds}
        return _line("first step after {:.1f} s", seconds)


def _line(total: str, seconds: dict[str, float]) -> str:
    return f"{total.format(sum(seconds.values()))} ({in_words(seconds)})"
