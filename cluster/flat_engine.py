"""An engine that keeps all gradients of a network in one buffer: one reduction, no sharding.

For networks whose optimizer state fits every worker, as that of all families here does (0.4 GB for
50 million parameters with Adam). The reduction runs while the gradients of the networks that come
later are computed: in a simultaneous round, that of D during the backward pass of G.
"""

from dataclasses import dataclass, field

import torch.distributed as dist
from torch import Tensor

from cluster.collectives import rank, world_size
from ganinv.seams.engine import Fragment, LocalEngine


@dataclass
class FlatEngine(LocalEngine):
    """Implements `ganinv.seams.engine.Engine` for any number of ranks.

    `micro_batches` counts those of all ranks: each loss is divided by it, so that the sum over
    micro-batches and ranks is the mean. All ranks start from rank 0's weights, and hold the same
    gradients, weights and moments after every step.
    """

    _gradients: Tensor = field(init=False)  # of all parameters, each one's `grad` is a slice
    _reduction: dist.Work | None = field(init=False, default=None)  # under way

    def __post_init__(self) -> None:
        parameters = list(self.network.parameters())
        sizes = [parameter.numel() for parameter in parameters]
        self._gradients = parameters[0].new_zeros(sum(sizes))
        slices = self._gradients.split(sizes)
        for parameter, gradient in zip(parameters, slices, strict=True):
            parameter.grad = gradient.view_as(parameter)
            if world_size() > 1:
                dist.broadcast(parameter.detach(), src=0)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        super().backward(loss, last=last)  # adds to the slices in place
        if last and world_size() > 1:
            self._reduction = dist.all_reduce(self._gradients, async_op=True)

    def finite(self) -> Tensor:
        if self._reduction is not None:
            self._reduction.wait()  # on a GPU, its stream waits, the host does not
            self._reduction = None
        return super().finite()

    def optimizer_fragments(self) -> tuple[list[Fragment], int]:
        fragments, steps = super().optimizer_fragments()
        return (fragments if rank() == 0 else []), steps

    def _sum(self, total: Tensor) -> Tensor:
        if world_size() > 1:
            dist.all_reduce(total)  # on a GPU by NCCL, behind the reductions of the gradients
        return total

    def _discard_gradients(self) -> None:
        self._gradients.zero_()
