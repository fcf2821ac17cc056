"""The records of the worker groups that this command has started, while the run is alive."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from cluster.run_folder.group_history import FINAL, End, GroupRecord, Summary, summarise

# Why the workers are asked to save and end. The user asks for a stop, which overrides the others.
Purpose = Literal["stop", "preemption", "resize"]


class WorkerLocation(NamedTuple):
    """Where one worker of the present group runs."""

    rank: int
    node_id: str  # Ray's
    log: str  # path, on that node, of the worker's standard error; empty if unknown


@dataclass
class LiveGroups:
    """Group records in order of launch; the last record belongs to the present group.

    `first_number` is the number of the first record: groups of earlier commands are in storage.
    """

    first_number: int = 0

    def __post_init__(self) -> None:
        self.records: list[GroupRecord] = []
        self.locations: dict[int, WorkerLocation] = {}  # of the present group, by rank
        self.purpose: Purpose | None = None
        self.purpose_detail = ""

    def launched(self, world_size: int) -> None:
        """The supervisor has requested the workers of a new group."""
        number = self.first_number + len(self.records)
        self.records.append(GroupRecord(number=number, launched=time.time(), world_size=world_size))
        self.locations = {}
        if self.purpose != "stop":
            self.purpose, self.purpose_detail = None, ""

    def withdrawn(self) -> None:
        """The requested group did not start."""
        self.records.pop()

    def resumed(self, images_seen: int) -> Summary:
        """The present group starts to train at `images_seen`. Returns the summary of all groups."""
        self._update(resumed_from=images_seen)
        return summarise(self.records, time.time())

    def trained(self, progress: dict[str, Any]) -> None:
        """`progress` holds `images_seen` and the present group's `steps_seconds`."""
        seen = int(progress["images_seen"])
        self._update(images_seen=seen, steps_seconds=float(progress["steps_seconds"]))
        group = self.records[-1]
        if seen > (group.resumed_from or 0):
            now = time.time()
            self._update(first_step=group.first_step or now, last_step=now)

    def started(self, seconds: Mapping[str, float]) -> None:
        """The present group has ended its first step; `seconds`: rank 0's phases up to it.

        Before them, Ray Train's controller started, and the workers got their places on nodes.
        """
        before = time.time() - self.records[-1].launched - sum(seconds.values())
        self._update(starting={"placement": max(0.0, before), **seconds})

    def committed(self, images_seen: int) -> None:
        """The present group has committed a checkpoint at `images_seen`."""
        self._update(committed=images_seen)

    def ended(self, reason: End, detail: str) -> GroupRecord:
        """The present group has ended. If a reason was recorded before, it stays."""
        if self.records[-1].reason is None:
            self._update(ended=time.time(), reason=reason, detail=detail)
        return self.records[-1]

    def went_back(self, images_seen: int, restored: int) -> None:
        """The present group diverged at `images_seen` and reloaded the checkpoint at `restored`.

        What follows is recorded as a new group with the same workers.
        """
        self._update(images_seen=images_seen)
        before = self.ended("divergence", f"steps were void up to images_seen = {images_seen}")
        locations, purpose, detail = self.locations, self.purpose, self.purpose_detail
        self.launched(before.world_size)
        self.locations, self.purpose, self.purpose_detail = locations, purpose, detail
        self._update(resumed_from=restored)

    def request_save(self, purpose: Purpose, detail: str) -> bool:
        """Record the purpose; returns whether it is new and the workers must be notified.

        The first purpose wins, except that a stop replaces any other.
        """
        if self.purpose is not None and (self.purpose == "stop" or purpose != "stop"):
            return False
        self.purpose, self.purpose_detail = purpose, detail
        return True

    @property
    def restarts(self) -> int:
        return sum(record.reason not in (None, *FINAL) for record in self.records[:-1])

    def _update(self, **changes: Any) -> None:
        self.records[-1] = replace(self.records[-1], **changes)
