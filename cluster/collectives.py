"""The few collectives that training needs beside the engines' own, on torch.distributed.

Reductions of statistics run on the CPU in float64 (gloo), so that every rank ends with the same
bits. Without a process group (one process) they are the identity.
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
    """The sum over all ranks, as a new tensor on the CPU; the same bits on every rank."""
    summed = total.detach().to("cpu", copy=True)
    if world_size() > 1:
        dist.all_reduce(summed)
    return summed


def new_gloo_group(timeout_s: float) -> dist.ProcessGroup | None:
    """A group of all ranks over gloo, for one thread beside training; None for one process.

    All ranks call this together. A wait in it for longer than `timeout_s` raises `RuntimeError`.
    """
    if world_size() == 1:
        return None
    group: dist.ProcessGroup = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout_s))
    return group


def gather_objects(value: T, group: dist.ProcessGroup | None = None) -> list[T]:
    """Every rank's value, in the order of ranks, on all of them. Small values only."""
    if world_size() == 1:
        return [value]
    values: list[T | None] = [None] * world_size()
    dist.all_gather_object(values, value, group)
    return values  # type: ignore[return-value]  # filled by now


def broadcast_object(value: T | None, group: dist.ProcessGroup | None = None) -> T:
    """Rank 0's value, on all ranks. Small values only."""
    holder: list[T | None] = [value]
    if world_size() > 1:
        dist.broadcast_object_list(holder, src=0, group=group)
    return holder[0]  # type: ignore[return-value]  # rank 0 gave a value
