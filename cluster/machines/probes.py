"""What a survey of the cluster does on each of its nodes: two small actors."""

import socket
import time
from datetime import timedelta
from typing import Any

import numpy as np
import ray
import torch
from torch import distributed

from cluster.machines.machine import Machine, check_store, inspect_machine
from cluster.storage.opening import open_store

TIMEOUT_S = 120.0  # of one step on all nodes
LINK_BYTES = 32 * 2**20  # sent from node to node
REDUCED = 4 * 2**20  # float32 elements, summed over all training nodes


class Probe:
    """Our eyes on one node; takes none of its resources."""

    def inspect(self) -> Machine:
        return inspect_machine()

    def time(self) -> float:
        return time.time()

    def check_store(self, url: str, endpoint_url: str | None) -> str:
        return check_store(open_store(url, endpoint_url=endpoint_url))

    def make(self) -> Any:
        return np.random.default_rng(0).bytes(LINK_BYTES)

    def fetch(self, held: list[Any]) -> float:
        """Seconds until the object, which another node holds, is here."""
        started = time.perf_counter()
        ray.get(held[0], timeout=TIMEOUT_S)
        return time.perf_counter() - started


class Reducer:
    """One member of a trial all-reduce, with a training node's CPU or GPU."""

    def address(self) -> str:
        with socket.socket() as chosen:
            chosen.bind(("", 0))
            return f"{ray.util.get_node_ip_address()}:{chosen.getsockname()[1]}"

    def reduce(self, address: str, rank: int, world: int, *, gpu: bool) -> tuple[float, float]:
        """The sum's first element and the seconds that the second of two all-reduces took."""
        distributed.init_process_group(
            "nccl" if gpu else "gloo",
            init_method=f"tcp://{address}",
            rank=rank,
            world_size=world,
            timeout=timedelta(seconds=TIMEOUT_S / 2),
        )
        try:
            for _ in range(2):  # the first one opens the connections
                values = torch.full((REDUCED,), float(rank + 1), device="cuda" if gpu else "cpu")
                started = time.perf_counter()
                distributed.all_reduce(values)
                total = float(values[0])  # waits for the GPU
            return total, time.perf_counter() - started
        finally:
            distributed.destroy_process_group()
