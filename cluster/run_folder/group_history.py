"""Records of a run's worker groups: why each group ended, what that cost, and the restart budget.

Pure values and sums. `cluster.workers.live_groups` collects the records while a run is alive, and
`cluster.run_folder.group_log` stores them in the run's folder.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

# Why a group ended and a new group followed.
Reason = Literal["failure", "hang", "node_lost", "storage", "preemption", "resize", "divergence"]
FAULTS: tuple[Reason, ...] = ("failure", "hang", "node_lost", "storage")  # nobody requested these
PLANNED: tuple[Reason, ...] = ("preemption", "resize")  # the group saved before it ended
REASONS: tuple[Reason, ...] = (*FAULTS, *PLANNED, "divergence")
End = Literal[Reason, "done", "stopped", "gave_up", "unknown"]
# After these the run is not meant to train until a command starts it again.
FINAL: tuple[End, ...] = ("done", "stopped", "gave_up")


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupRecord:
    """One worker group of a run. Times are Unix times in seconds; None means "not yet"."""

    number: int  # counted from 0 over the run's whole life
    launched: float  # when the supervisor requested its workers
    world_size: int
    resumed_from: int | None = None  # images_seen of the checkpoint it resumed from
    first_step: float | None = None  # end of its first step
    # Seconds of the phases from its launch to its first step, in order, seen by rank 0.
    starting: Mapping[str, float] | None = None
    last_step: float | None = None  # end of the last reported step
    images_seen: int | None = None  # at the last reported step
    steps_seconds: float = 0.0  # compute and communicate, up to the last reported step
    committed: int | None = None  # images_seen of its newest checkpoint
    ended: float | None = None
    reason: End | None = None  # why it ended
    detail: str = ""  # one sentence that explains the reason

    @property
    def progressed(self) -> bool:
        """Whether it committed a newer checkpoint than the one it resumed from."""
        return self.committed is not None and self.committed > (self.resumed_from or 0)

    @classmethod
    def from_json(cls, content: Any) -> "GroupRecord":
        """Raises `ValueError` if the object is not a record."""
        known = cls.__dataclass_fields__
        if not isinstance(content, dict) or content.keys() - known.keys():
            raise ValueError("it is not a record of this version")
        for key in ("number", "launched", "world_size"):
            if not isinstance(content.get(key), int | float):
                raise ValueError(f"{key!r} is not a number")
        return cls(**content)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Totals over a run's groups.

    `goodput`: seconds of effective training steps ÷ seconds in which the run was meant to train.
    Steps that a restart undid are not effective. The run is meant to train from its first launch to
    now, except between an end (by the user or by itself) and the next start. All times are taken by
    rank 0's clock. None before the first step.
    """

    restarts: Mapping[str, int]  # by reason
    lost_images: int  # images that were trained a second time because of restarts
    gaps_seconds: tuple[float, ...]  # per restart: from the last step before to the first after
    goodput: float | None
    last: GroupRecord | None


def summarise(records: Sequence[GroupRecord], now: float) -> Summary:
    """`records` in the order of their numbers; `now`: Unix time."""
    pairs = list(pairwise(records))
    restarts = Counter(str(a.reason or "unknown") for a, _ in pairs if a.reason not in FINAL)
    return Summary(
        restarts=dict(restarts),
        lost_images=sum(_lost(a, b) for a, b in pairs),
        gaps_seconds=tuple(
            b.first_step - a.last_step
            for a, b in pairs
            if a.reason not in FINAL and a.last_step is not None and b.first_step is not None
        ),
        goodput=_goodput(records, now),
        last=records[-1] if records else None,
    )


def _lost(group: GroupRecord, following: GroupRecord) -> int:
    """Images of `group` that `following` trains a second time."""
    if group.images_seen is None or following.resumed_from is None:
        return 0
    return max(0, group.images_seen - following.resumed_from)


def _goodput(records: Sequence[GroupRecord], now: float) -> float | None:
    if not any(record.steps_seconds for record in records):
        return None
    useful_s = wanted_s = 0.0
    for index, record in enumerate(records):
        following = records[index + 1] if index + 1 < len(records) else None
        useful_s += record.steps_seconds * _kept(record, following)
        until = now if following is None else following.launched
        if record.reason in FINAL and record.ended is not None:
            until = record.ended
        wanted_s += until - record.launched
    return useful_s / wanted_s if wanted_s > 0 else None


def _kept(group: GroupRecord, following: GroupRecord | None) -> float:
    """Share of a group's steps that remain effective after the next group's start, 0 to 1."""
    if following is None or group.images_seen is None or group.resumed_from is None:
        return 1.0
    trained = group.images_seen - group.resumed_from
    return 1.0 - min(_lost(group, following), trained) / trained if trained > 0 else 1.0


class Budget:
    """Limits how many groups in a row may end without a new checkpoint.

    Faults count towards `max_failures`; preemptions and resizes count towards `max_preemptions`
    (None: no limit). A new checkpoint resets both counts.
    """

    def __init__(self, max_failures: int, max_preemptions: int | None) -> None:
        self._limits = {"failures": max_failures, "preemptions": max_preemptions}
        self._in_a_row = dict.fromkeys(self._limits, 0)

    def spend(self, group: GroupRecord) -> str | None:
        """Count the end of `group`. Returns None, or a clause that names the exceeded limit."""
        if group.progressed:
            self._in_a_row = dict.fromkeys(self._limits, 0)
        kind = "preemptions" if group.reason in PLANNED else "failures"
        self._in_a_row[kind] += 1
        limit, count = self._limits[kind], self._in_a_row[kind]
        if limit is None or count <= limit:
            return None
        return (
            f"{count} {kind} in a row without a new checkpoint in between, which is more than "
            f"cluster.max_{kind} = {limit} allows"
        )


def as_json(record: GroupRecord) -> dict[str, Any]:
    return asdict(record)
