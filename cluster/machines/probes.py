"""The two actors that a survey of the cluster runs on each node."""

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

TIMEOUT_S = 120.0  # of one check on all nodes
LINK_BYTES = 32 * 2**20  # sent from node to node
REDUCED_ELEMENTS = 4 * 2**20  # float32, summed over all training nodes


class Probe:
    """Inspects one node. Reserves no resources."""

    def inspect(self) -> Machine:
        return inspect_machine()

    def time(self) -> float:
        return time.time()

    def check_store(self, url: str, endpoint_url: str | None) -> str:
        return check_store(open_store(url, endpoint_url=endpoint_url))

    def make_block(self) -> Any:
        """`LINK_BYTES` random bytes."""
        return np.random.default_rng(0).bytes(LINK_BYTES)

    def fetch_block(self, block: list[Any]) -> float:
        """Fetch an object from another node; returns the seconds.

        `block` holds a reference. In a list it stays one, else Ray would fetch the object first.
        """
        started = time.perf_counter()
        ray.get(block[0], timeout=TIMEOUT_S)
        return time.perf_counter() - started


class Reducer:
    """One rank of a test all-reduce, on a training node's CPU or GPU."""

    def address(self) -> str:
        with socket.socket() as chosen:
            chosen.bind(("", 0))
            return f"{ray.util.get_node_ip_address()}:{chosen.getsockname()[1]}"

    def reduce(self, address: str, rank: int, world: int, *, gpu: bool) -> tuple[float, float]:
        """All-reduce twice; returns the sum's first element and the seconds of the second time."""
        distributed.init_process_group(
            "nccl" if gpu else "gloo",
            init_method=f"tcp://{address}",
            rank=rank,
            world_size=world,
            timeout=timedelta(seconds=TIMEOUT_S / 2),
        )
        try:
            for _ in range(2):  # the first one opens the connections
                values = torch.full(
                    (REDUCED_ELEMENTS,), float(rank + 1), device="cuda" if gpu else "cpu"
                )
                started = time.perf_counter()
                distributed.all_reduce(values)
                total = float(values[0])  # waits for the GPU
            return total, time.perf_counter() - started
        finally:
            distributed.destroy_process_group()
