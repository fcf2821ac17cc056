"""The worker groups of a run while it lives: what its directory notes down of them."""

import time
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from cluster.run_folder.group_history import FINAL, End, GroupRecord, Summary, summarise

# What the workers are asked to save for. A stop is the user's, and overrules the others.
Purpose = Literal["stop", "preemption", "resize"]


class Seat(NamedTuple):
    """Where a worker of the present group is."""

    rank: int
    node_id: str  # Ray's
    log: str  # the file on that node which its standard error goes to; empty if unknown


@dataclass
class Chronicle:
    """Records in the order of groups; the last one is the present group's."""

    first_number: int = 0

    def __post_init__(self) -> None:
        self.records: list[GroupRecord] = []
        self.seats: dict[int, Seat] = {}
        self.purpose: Purpose | None = None
        self.purpose_detail = ""

    def launched(self, world_size: int) -> None:
        """Workers of a new group were asked for."""
        number = self.first_number + len(self.records)
        self.records.append(GroupRecord(number=number, launched=time.time(), world_size=world_size))
        self.seats = {}
        if self.purpose != "stop":
            self.purpose, self.purpose_detail = None, ""

    def withdrawn(self) -> None:
        """The group that was asked for did not come up."""
        self.records.pop()

    def resumed(self, images_seen: int) -> Summary:
        """The present group begins to train there; what the run has been through before."""
        self._note(resumed_from=images_seen)
        return summarise(self.records, time.time())

    def trained(self, progress: dict[str, Any]) -> None:
        """`progress`: images_seen and steps_seconds of the present group."""
        seen = int(progress["images_seen"])
        self._note(images_seen=seen, steps_seconds=float(progress["steps_seconds"]))
        group = self.records[-1]
        if seen > (group.resumed_from or 0):
            now = time.time()
            self._note(first_step=group.first_step or now, last_step=now)

    def committed(self, images_seen: int) -> None:
        self._note(committed=images_seen)

    def ended(self, reason: End, detail: str) -> GroupRecord:
        """The present group has ended; a reason that was noted before counts."""
        if self.records[-1].reason is None:
            self._note(ended=time.time(), reason=reason, detail=detail)
        return self.records[-1]

    def went_back(self, images_seen: int, restored: int) -> None:
        """The present group diverged, and trains on from a checkpoint: as a group of its own."""
        self._note(images_seen=images_seen)
        before = self.ended("divergence", f"steps were void up to images_seen = {images_seen}")
        seats, purpose, detail = self.seats, self.purpose, self.purpose_detail
        self.launched(before.world_size)
        self.seats, self.purpose, self.purpose_detail = seats, purpose, detail
        self._note(resumed_from=restored)

    def ask(self, purpose: Purpose, detail: str) -> bool:
        """Whether the workers have to be told. The first purpose counts, but for a stop."""
        if self.purpose is not None and (self.purpose == "stop" or purpose != "stop"):
            return False
        self.purpose, self.purpose_detail = purpose, detail
        return True

    @property
    def restarts(self) -> int:
        return sum(record.reason not in (None, *FINAL) for record in self.records[:-1])

    def _note(self, **changes: Any) -> None:
        self.records[-1] = replace(self.records[-1], **changes)
