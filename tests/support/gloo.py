"""Runs a function on several ranks, processes joined by gloo, and collects what they return.

Ranks are forked from one process that has imported what they need: imports take two seconds of
processor time for each rank, and a fork takes none.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes


def run_ranks(function: Callable[..., Any], world: int, *args: Any) -> list[Any]:
    """`function(*args)` on every rank; what the ranks returned, in their order."""
    multiprocessing.set_forkserver_preload(["tests.support.rank_imports"])
    with tempfile.TemporaryDirectory() as folder:
        # As a file: a process is given few file descriptors, and each tensor would need one.
        torch.save(args, Path(folder) / "arguments.pt")
        start_processes(
            _rank, args=(function, world, folder), nprocs=world, start_method="forkserver"
        )
        return [
            torch.load(Path(folder) / f"result-{rank}.pt", weights_only=False)
            for rank in range(world)
        ]


def _rank(rank: int, function: Callable[..., Any], world: int, folder: str) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=60),
    )
    try:
        args = torch.load(Path(folder) / "arguments.pt", weights_only=False)
        torch.save(function(*args), Path(folder) / f"result-{rank}.pt")
    finally:
        dist.destroy_process_group()
