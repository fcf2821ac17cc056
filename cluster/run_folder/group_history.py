"""What became of a run's worker groups: why each ended, what that cost, and when it was too much.

Pure values and sums; `cluster.workers.directory` collects them while a run lives, and
`cluster.run_folder.group_log` keeps them beside the run.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

from ganinv.errors import StorageError

# Why a group was started again.
Reason = Literal["failure", "hang", "node_lost", "storage", "preemption", "resize", "divergence"]
FAULTS: tuple[Reason, ...] = ("failure", "hang", "node_lost", "storage")  # nobody asked for them
PLANNED: tuple[Reason, ...] = ("preemption", "resize")  # the group had saved before
REASONS: tuple[Reason, ...] = (*FAULTS, *PLANNED, "divergence")
End = Literal[Reason, "done", "stopped", "gave_up", "unknown"]
# After these nobody wanted the run to train until it was started again.
FINAL: tuple[End, ...] = ("done", "stopped", "gave_up")


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupRecord:
    """One worker group of a run. Times are Unix times in seconds; None: has not happened yet."""

    number: int  # counted from 0 over the life of the run
    launched: float  # when its workers were asked for
    world_size: int
    resumed_from: int | None = None  # images_seen of the checkpoint it went on from
    first_step: float | None = None  # end of its first step
    last_step: float | None = None  # end of the last step that is known of
    images_seen: int | None = None  # at the last step that is known of
    steps_seconds: float = 0.0  # spent in training steps by then: compute and communicate
    committed: int | None = None  # images_seen of its newest checkpoint
    ended: float | None = None
    reason: End | None = None  # why it ended
    detail: str = ""  # one sentence about that

    @property
    def progressed(self) -> bool:
        """Whether it committed a checkpoint beyond the one that it went on from."""
        return self.committed is not None and self.committed > (self.resumed_from or 0)

    @classmethod
    def from_json(cls, content: Mapping[str, Any], url: str) -> "GroupRecord":
        """Raises `StorageError` where the object is no record."""
        try:
            return cls(**content)
        except TypeError as error:
            raise StorageError(f"{url} is damaged ({error}); delete it") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What a run's groups come to.

    `goodput`: seconds of training steps that still count ÷ seconds that somebody wanted the run to
    train, which is the wall time from its first launch to now, less the time between a stop by the
    user (or the end) and the next start. Steps that a restart undid count for nothing. Rank 0's
    clock is taken for all. None before the first step.
    """

    restarts: Mapping[str, int]  # by reason
    lost_images: int  # trained again after restarts
    gaps_seconds: tuple[float, ...]  # of each restart: from the last step to the next trained one
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
    """Images that `following` trains again."""
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
    """Share of a group's steps that its successor built on, between 0 and 1."""
    if following is None or group.images_seen is None or group.resumed_from is None:
        return 1.0
    trained = group.images_seen - group.resumed_from
    return 1.0 - min(_lost(group, following), trained) / trained if trained > 0 else 1.0


class Budget:
    """How often in a row groups may end without having committed anything new.

    Faults have `max_failures`; preemptions and resizes, which are nobody's fault, have
    `max_preemptions` of their own, None: any number. A run that commits in between may go on for
    ever.
    """

    def __init__(self, max_failures: int, max_preemptions: int | None) -> None:
        self._limits = {"failures": max_failures, "preemptions": max_preemptions}
        self._in_a_row = dict.fromkeys(self._limits, 0)

    def spend(self, group: GroupRecord) -> str | None:
        """Count the end of `group`; a clause that says which limit it broke, None if none."""
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
