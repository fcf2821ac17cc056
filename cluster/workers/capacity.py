"""How many runs have room at the same time, on this machine or on a cluster."""

import os
from collections.abc import Mapping, Sequence

import ray

from cluster.config import ClusterConfig
from cluster.jobs.ray_environment import cluster_address
from cluster.workers.starting import start_ray

Resources = Mapping[str, float]  # of one node: name → amount, as Ray counts them
GPUS = "CUDA_VISIBLE_DEVICES"


def runs_with_room(nodes: Sequence[Resources], config: ClusterConfig) -> int:
    """How many runs with all their workers fit the nodes at once; at least 1.

    Other programs on the nodes and the nodes' memory are not counted.
    """
    needed = config.resources_per_worker.items()
    workers = sum(
        min(int(node.get(name, 0) // amount) for name, amount in needed) for node in nodes
    )
    return max(1, workers // config.sizes[-1])


def nodes(config: ClusterConfig) -> list[Resources]:
    """The living nodes of the cluster that RAY_ADDRESS names; without one, this machine.

    Raises `ClusterError` if the cluster cannot be joined.
    """
    if cluster_address() is None:
        return [{"CPU": len(os.sched_getaffinity(0)), "GPU": len(gpus_here())}]
    start_ray(config)
    try:
        return [node["Resources"] for node in ray.nodes() if node["Alive"]]
    finally:
        ray.shutdown()


def gpus_here() -> list[str]:
    """The GPUs of this machine that programs may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    if named := os.environ.get(GPUS):
        return [name.strip() for name in named.split(",") if name.strip()]
    return [str(number) for number in range(torch.cuda.device_count())]


def shares(config: ClusterConfig, at_once: int) -> list[dict[str, str]]:
    """For each of the runs at once, the variables that give it GPUs of its own on this machine.

    On a cluster Ray deals out GPUs. On one machine every run starts a Ray of its own, and all of
    them would take the first GPU.
    """
    if cluster_address() is not None or not config.use_gpu or at_once == 1:
        return [{} for _ in range(at_once)]
    found, each = gpus_here(), config.sizes[-1]
    return [{GPUS: ",".join(found[i * each : (i + 1) * each])} for i in range(at_once)]
