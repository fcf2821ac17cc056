"""Exponential average of a network's weights; samples, codes and figures use the average.

PVDGAN §3: "trainable weights ema decay rate = 0.999", for both G and D. As in the author's code,
the average starts at the initial weights and has no bias correction. Buffers are copied, as in
StyleGAN's code: buffers that change (batch statistics) are averages already.
"""

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """A copy of a network that follows it: w̄ ← decay · w̄ + (1 − decay) · w after every step."""

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self._averaged: list[Tensor] = list(self.network.parameters())
        self._buffers: list[Tensor] = list(self.network.buffers())

    @torch.no_grad()
    def update(self, network: nn.Module, decay: float, flag: Tensor | None = None) -> None:
        """`flag`: a bool on the network's device, false if the step was void; None: it was not."""
        current = [parameter.detach() for parameter in network.parameters()]
        if flag is None:
            torch._foreach_lerp_(self._averaged, current, 1 - decay)
        else:  # the same up to rounding, but the weight of the new value is a tensor
            change = torch._foreach_sub(current, self._averaged)
            torch._foreach_mul_(change, flag.to(self._averaged[0].dtype) * (1 - decay))
            torch._foreach_add_(self._averaged, change)
        for buffer, source in zip(self._buffers, network.buffers(), strict=True):
            buffer.copy_(source if flag is None else torch.where(flag, source, buffer))
