"""Reservations for workers: one placement group with a single bundle per worker.

A placement group stays pending until a node has room for its bundle. The cluster's autoscaler sees
pending placement groups, they disappear with this process, and their states tell how many workers
have room without reading resource tables that lag behind.
"""

import time
from typing import Any

import ray
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group

from cluster.config import ClusterConfig

POLL_S = 0.3
SETTLE_S = 5.0  # nodes often come together, and a dead node is detected late: wait for both


class Reservations:
    """Reservations for `count` workers (default: the most that the run may have), until `close`."""

    def __init__(self, config: ClusterConfig, count: int | None = None) -> None:
        self._config = config
        self._groups: list[Any] = []
        # With a fixed number of workers, Ray Train itself waits for room.
        if len(config.sizes) > 1:
            wanted = config.sizes[-1] if count is None else count
            self._groups = [placement_group([config.resources_per_worker]) for _ in range(wanted)]

    def close(self) -> None:
        for group in self._groups:
            remove_placement_group(group)

    def ready(self) -> int:
        """For how many workers resources are reserved now."""
        tables = [placement_group_table(group) for group in self._groups]
        return sum(table.get("state") == "CREATED" for table in tables)

    def await_size(self, timeout_s: float) -> int | None:
        """How many workers to start; None if even the fewest have no room after `timeout_s`."""
        sizes = self._config.sizes
        if len(sizes) == 1:
            return sizes[0] if timeout_s > 0 else None
        end, settled_at, before = time.monotonic() + timeout_s, None, -1
        while time.monotonic() < end:
            ready = self.ready()
            if ready == sizes[-1]:
                return ready
            if ready != before:
                before, settled_at = ready, time.monotonic() + SETTLE_S
            assert settled_at is not None
            if ready >= sizes[0] and time.monotonic() >= settled_at:
                return ready
            time.sleep(POLL_S)
        return None


def draining_nodes() -> set[str]:
    """Ids of the nodes that a cloud or an operator has announced to remove."""
    # Not public, but Ray Train's own watcher calls it; versions are pinned.
    return set(ray._private.state.state.get_draining_nodes())


def clear_abandoned() -> None:
    """Remove the placement groups of this job whose creator, Ray Train's controller, has died.

    Ray keeps a placement group until its job ends, even if the actor that created it is dead.
    """
    from ray.core.generated.gcs_pb2 import PlacementGroupTableData
    from ray.util.placement_group import PlacementGroup

    # Ray's public table does not name creators, and the state API needs a dashboard. Versions are
    # pinned.
    job = ray.JobID.from_hex(ray.get_runtime_context().get_job_id()).binary()
    accessor = ray._private.state.state._connect_and_get_accessor()
    for text in accessor.get_placement_group_table():
        found = PlacementGroupTableData.FromString(text)
        is_removed = found.state == PlacementGroupTableData.REMOVED
        if found.creator_job_id == job and found.creator_actor_dead and not is_removed:
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(found.placement_group_id)))
