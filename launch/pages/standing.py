"""The state of a run, from its storage alone: progress, speed, and whether it still writes."""

import math
import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from cluster.run_folder.group_history import Summary
from cluster.run_folder.metrics_log import FLUSH_EVERY_S
from ganinv.saved.manifest import Manifest
from launch.clock import clock
from launch.pages.curves import Rows
from launch.pages.page import Headline

RECENT_ROWS = 20
SILENT_INTERVALS = 3  # intervals without a row after which a run counts as silent
State = Literal["waiting", "training", "silent", "done"]
WORDS: dict[State, str] = {
    "waiting": "no figures yet: workers are starting, or have not logged a first row",
    "training": "figures up to {at}",
    "silent": "no figures since {at}: the run was stopped, or hangs",
    "done": "all images were seen at {at}",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """The state of a run. Times are Unix times in seconds."""

    state: State
    images_seen: int
    target_images: int | None  # None if the run has written no configuration yet
    images_per_second: float | None  # in the last rows; None if unknown
    last_row: float | None  # time of the last row of metrics
    checkpoint: Manifest | None  # the newest

    @property
    def seconds_left(self) -> float | None:
        if self.target_images is None or not self.images_per_second or self.state != "training":
            return None
        return max(0, self.target_images - self.images_seen) / self.images_per_second


def standing(
    rows: Rows, target_images: int | None, checkpoint: Manifest | None, now: float
) -> Standing:
    """`rows` of metrics.jsonl, oldest first; `checkpoint`: the newest one; `now`: Unix time."""
    recent = rows[-RECENT_ROWS:]
    seen = int(rows[-1]["images_seen"]) if rows else 0
    seen = max(seen, checkpoint.images_seen if checkpoint else 0)
    speeds = [row.get("throughput/images_per_second", math.nan) for row in recent]
    speeds = [speed for speed in speeds if math.isfinite(speed)]
    last_row = rows[-1]["wall_time"] if rows else None
    return Standing(
        state=_state(recent, seen, target_images, now),
        images_seen=seen,
        target_images=target_images,
        images_per_second=statistics.median(speeds) if speeds else None,
        last_row=last_row,
        checkpoint=checkpoint,
    )


def _state(recent: Rows, seen: int, target_images: int | None, now: float) -> State:
    if target_images is not None and seen >= target_images:
        return "done"
    if not recent:
        return "waiting"
    times = [row["wall_time"] for row in recent]
    between = [later - earlier for earlier, later in pairwise(times)]
    usual = statistics.median(between) if between else FLUSH_EVERY_S
    # A run writes several rows at once, so some intervals are near 0; the median ignores breaks.
    patience = SILENT_INTERVALS * (usual + FLUSH_EVERY_S)
    return "silent" if now - times[-1] > patience else "training"


def standing_headlines(at: Standing) -> tuple[Headline, ...]:
    """The figures at the top of the live page. They give times, not ages, and so stay valid."""
    moment = clock(at.last_row) if at.last_row is not None else ""
    found = [Headline(label="The run", value=at.state, meaning=WORDS[at.state].format(at=moment))]
    if at.target_images:
        found.append(
            Headline(
                label="Progress",
                value=f"{100 * at.images_seen / at.target_images:.1f}",
                unit="%",
                meaning=f"{at.images_seen:,} of {at.target_images:,} images",
            )
        )
    if at.images_per_second is not None:
        left = at.seconds_left
        end = f"{duration(left)} left at this speed" if left is not None else "over all workers"
        found.append(
            Headline(
                label="Speed", value=f"{at.images_per_second:.0f}", unit="images/s", meaning=end
            )
        )
    if at.checkpoint is not None:
        found.append(
            Headline(
                label="Newest checkpoint",
                value=f"{at.checkpoint.images_seen:,}",
                unit="images",
                meaning=f"written at {clock(at.checkpoint.created)}",
            )
        )
    return tuple(found)


def past_headlines(past: Summary) -> tuple[Headline, ...]:
    """The cost of restarts; empty before the first step."""
    if past.goodput is None:
        return ()
    reasons = ", ".join(f"{count} {reason}" for reason, count in past.restarts.items())
    lost = f"; {past.lost_images:,} images trained again" if past.lost_images else ""
    return (
        Headline(
            label="Goodput",
            value=f"{100 * past.goodput:.0f}",
            unit="%",
            meaning=f"of the time went into steps that count; restarts: {reasons or 'none'}{lost}",
        ),
    )


def duration(seconds: float) -> str:
    """A duration as text, in its two largest units."""
    minutes, hours, days = round(seconds / 60), round(seconds / 3600), int(seconds // 86400)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    if days < 2:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"
