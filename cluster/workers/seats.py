"""Room for workers: one placement group of a single bundle each, pending until there is a node.

What is asked for in this way is known to a cluster's autoscaler, goes away with this process, and
says how many workers there is room for without a look at tables that lag behind.
"""

import time
from typing import Any

import ray
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group

from cluster.config import ClusterConfig

POLL_S = 0.3
SETTLE_S = 5.0  # more room often follows the first: nodes come up, or a dead one is noticed


class Seats:
    """Reserved for `count` workers, by default the most that there may be, until `close`."""

    def __init__(self, config: ClusterConfig, count: int | None = None) -> None:
        self._config = config
        self._reserved: list[Any] = []
        # The room for a fixed number of workers is awaited by Ray Train itself.
        if len(config.sizes) > 1:
            wanted = config.sizes[-1] if count is None else count
            self._reserved = [placement_group([config.resources_per_worker]) for _ in range(wanted)]

    def close(self) -> None:
        for reserved in self._reserved:
            remove_placement_group(reserved)

    def ready(self) -> int:
        """Room for so many workers is there, and held."""
        tables = [placement_group_table(reserved) for reserved in self._reserved]
        return sum(table.get("state") == "CREATED" for table in tables)

    def await_size(self, timeout_s: float) -> int | None:
        """How many workers to start; None if there is no room for the fewest by then."""
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
    """Ids of nodes that are about to be taken, as Ray was told by a cloud or an operator."""
    # Not public, but Ray Train's own watcher asks the same; versions are pinned.
    return set(ray._private.state.state.get_draining_nodes())


def clear_abandoned() -> None:
    """Give back the room of groups whose Ray Train controller has died: Ray itself keeps it.

    A placement group goes with the job that made it, not with the actor.
    """
    from ray.core.generated.gcs_pb2 import PlacementGroupTableData
    from ray.util.placement_group import PlacementGroup

    # Ray's public table names no makers. Without a dashboard there is no other, and versions are
    # pinned.
    job = ray.JobID.from_hex(ray.get_runtime_context().get_job_id()).binary()
    accessor = ray._private.state.state._connect_and_get_accessor()
    for text in accessor.get_placement_group_table():
        found = PlacementGroupTableData.FromString(text)
        is_removed = found.state == PlacementGroupTableData.REMOVED
        if found.creator_job_id == job and found.creator_actor_dead and not is_removed:
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(found.placement_group_id)))
