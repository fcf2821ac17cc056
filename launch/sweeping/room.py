"""How many trainings of a sweep run at the same time."""

from collections.abc import Sequence

from cluster.jobs.ray_environment import cluster_address
from cluster.workers.capacity import gpus_here, nodes, runs_with_room
from ganinv.errors import ConfigError
from launch.sweeping.checking import Planned


def how_many(trainings: Sequence[Planned], asked: int | None) -> int:
    """Trainings at the same time: `asked`, or as many as have room.

    Raises `ConfigError` if they would share a port, or this machine's GPUs.
    """
    configs = [config for one in trainings for config in one.configs.values()]
    if asked is None:
        there = nodes(configs[0].cluster)
        asked = min(runs_with_room(there, config.cluster) for config in configs)
        if any(config.metrics.discovery_port for config in configs):
            asked = 1
    at_once = min(asked, len(trainings))
    if at_once == 1:
        return 1
    port = next((c.metrics.discovery_port for c in configs if c.metrics.discovery_port), 0)
    if port:
        raise ConfigError(
            f"metrics.discovery_port = {port}: trainings side by side cannot share a port; leave "
            "it out, or give sweep.side_by_side=1"
        )
    needed = max((c.cluster.sizes[-1] for c in configs if c.cluster.use_gpu), default=0)
    if cluster_address() is None and needed * at_once > len(gpus_here()):
        raise ConfigError(
            f"sweep.side_by_side = {at_once}: takes {needed * at_once} GPUs, and this machine has "
            f"{len(gpus_here())}; lower it, or leave it out"
        )
    return at_once
