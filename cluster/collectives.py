"""The collectives outside of the engines, on torch.distributed.

Statistics are reduced on the CPU in float64 (gloo), so that every rank gets the same bits; on GPUs,
the flat engine sums moments and what was non-finite itself, by NCCL. Without a process group (one
process) every collective is the identity.
"""

from datetime import timedelta
from typing import TypeVar

import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def all_reduce_sum(total: Tensor) -> Tensor:
    """The sum over all ranks as a new CPU tensor, of the same shape and bits on every rank."""
    summed = total.detach().to("cpu", copy=True)
    if world_size() > 1:
        dist.all_reduce(summed)
    return summed


def new_gloo_group(timeout_s: float) -> dist.ProcessGroup | None:
    """A new gloo group of all ranks, for one thread besides training; None for one process.

    All ranks must call this together. A collective in the group that waits for longer than
    `timeout_s` raises `RuntimeError`.
    """
    if world_size() == 1:
        return None
    group: dist.ProcessGroup = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout_s))
    return group


def gather_objects(value: T, group: dist.ProcessGroup | None = None) -> list[T]:
    """The values of all ranks, in rank order, on every rank. For small values only."""
    if world_size() == 1:
        return [value]
    values: list[T | None] = [None] * world_size()
    dist.all_gather_object(values, value, group)
    return values  # type: ignore[return-value]  # all are filled


def broadcast_object(value: T | None, group: dist.ProcessGroup | None = None) -> T:
    """The value of rank 0, on every rank. For small values only."""
    values: list[T | None] = [value]
    if world_size() > 1:
        dist.broadcast_object_list(values, src=0, group=group)
    return values[0]  # type: ignore[return-value]  # rank 0 passed a value
