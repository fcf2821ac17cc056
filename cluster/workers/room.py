"""Says every minute what a worker group waits for, while its workers have not all started."""

import time
from collections.abc import Mapping, Sequence

import ray

from cluster.config import ClusterConfig
from cluster.run_folder.group_history import GroupRecord

REPORT_EVERY_S = 60.0


class WaitReport:
    """Reports on one run's waits. Ask as often as you like."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._since: float | None = None  # the beginning of the present wait
        self._reported = 0.0

    def lines(self, started: int, groups: Sequence[GroupRecord]) -> list[str]:
        """A line if one is due. `started`: the workers of the present group that have started."""
        now = time.monotonic()
        wanted = self._config.sizes[0]
        if groups and groups[-1].reason is None:
            wanted = groups[-1].world_size
        else:
            started = 0  # the present group has ended, or there is none
        if started >= wanted:
            self._since = None
            return []
        if self._since is None:
            self._since = self._reported = now
        if now - self._reported < REPORT_EVERY_S:
            return []
        self._reported = now
        lacks = missing(
            self._config.resources_per_worker,
            wanted - started,
            ray.cluster_resources(),
            ray.available_resources(),
        )
        begun = f"{started} of {wanted} workers have started after {now - self._since:.0f} s"
        return [f"{begun}: {lacks}"]


def missing(
    per_worker: Mapping[str, float],
    workers: int,
    total: Mapping[str, float],
    free: Mapping[str, float],
) -> str:
    """What the cluster lacks for so many more workers, in words. The mappings: name → amount."""
    lacking = []
    for name, amount in per_worker.items():
        if free.get(name, 0) < workers * amount:
            has = f"{free.get(name, 0):g} of {total.get(name, 0):g} are free"
            if not total.get(name, 0):
                has = "no node has any"
            lacking.append(f"{workers * amount:g} {name} needed, {has}")
    if lacking:
        return "waiting for room (" + "; ".join(lacking) + ")"
    return "the cluster has room, the workers are starting"
