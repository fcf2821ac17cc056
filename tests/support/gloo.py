"""Runs a function on several ranks, processes joined by gloo, and collects what they return."""

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
    with tempfile.TemporaryDirectory() as folder:
        start_processes(
            _rank, args=(function, world, folder, args), nprocs=world, start_method="spawn"
        )
        return [
            torch.load(Path(folder) / f"result-{rank}.pt", weights_only=False)
            for rank in range(world)
        ]


def _rank(
    rank: int, function: Callable[..., Any], world: int, folder: str, args: tuple[Any, ...]
) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    os.environ["DS_ACCELERATOR"] = "cpu"
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=60),
    )
    try:
        torch.save(function(*args), Path(folder) / f"result-{rank}.pt")
    finally:
        dist.destroy_process_group()
