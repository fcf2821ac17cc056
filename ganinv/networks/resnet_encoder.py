"""LIA's encoder: image → style, by residual blocks between average poolings.

Zhu et al., arXiv 1906.08090; layers and widths are those of the authors' code: a 3 × 3 convolution,
then one pooling and one block per halving down to 4 × 4 (for squares), then a dense layer. The code
has batch normalisation in all of them and after the dense layer, and weights from N(0, 0.02²).
Here, weights have an equalised learning rate whatever the normalisation: under Adam, the code's
rate of 1e-4 moves its weights by 1e-4 / 0.02 of their size, as 0.005 does here.

Shapes: B samples, C channels, H × W pixels, S style elements.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv.networks.base import Grid
from ganinv.networks.layers import (
    EqualisedConv,
    EqualisedLinear,
    channels_last,
    in_float32,
    leaky_relu,
)
from ganinv.networks.recomputing import run

Normalisation = Literal["none", "group", "batch"]
GAIN = math.sqrt(2)  # of weights before a leaky ReLU
GROUPS = 32  # at most, of group normalisation
MOMENTUM = 0.1  # of the running statistics of batch normalisation
EPSILON = 1e-5


class BatchNorm(nn.Module):
    """Batch normalisation with the statistics of a rank's micro-batch (Ioffe and Szegedy, 2015).

    It couples the samples of a micro-batch in training, so results depend on its size. Running
    statistics, which evaluation uses, are those of all ranks' images, and so equal on all ranks.
    """

    mean_C: Tensor
    variance_C: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale_C = nn.Parameter(torch.ones(channels))
        self.shift_C = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean_C", torch.zeros(channels))
        self.register_buffer("variance_C", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        normal: Tensor = in_float32(self._normalised, x)
        return normal.to(x.dtype)

    def _normalised(self, x: Tensor) -> Tensor:
        if self.training:
            self._follow(x.detach())
            return F.batch_norm(x, None, None, self.scale_C, self.shift_C, True, 0.0, EPSILON)
        return F.batch_norm(
            x, self.mean_C, self.variance_C, self.scale_C, self.shift_C, False, 0.0, EPSILON
        )

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        dims = [0, *range(2, x.ndim)]
        sums_2C = torch.stack([x.mean(dims), x.square().mean(dims)])
        if dist.is_initialized():
            dist.all_reduce(sums_2C)
            sums_2C /= dist.get_world_size()
        found = (sums_2C[0], sums_2C[1] - sums_2C[0].square())
        for running_C, now_C in zip((self.mean_C, self.variance_C), found, strict=True):
            # A step with numbers that are not finite is void, and must leave nothing behind.
            running_C.lerp_(torch.where(now_C.isfinite(), now_C, running_C), MOMENTUM)


def normalised(kind: Normalisation, channels: int) -> nn.Module:
    """The layer after a convolution; group normalisation sees one sample at a time."""
    if kind == "group":
        return nn.GroupNorm(math.gcd(GROUPS, channels), channels)
    return BatchNorm(channels) if kind == "batch" else nn.Identity()


class PooledBlock(nn.Module):
    """Half the resolution by average pooling; then (shortcut + two 3 × 3 convolutions) / √2.

    With a normalisation, both paths end in one, as in ResNet (He et al., 2016).
    """

    def __init__(self, channels_in: int, channels_out: int, kind: Normalisation) -> None:
        super().__init__()
        half, bias = math.sqrt(0.5), kind == "none"
        self.first = EqualisedConv(channels_in, channels_out, 3, bias=bias, gain=GAIN)
        self.first_norm = normalised(kind, channels_out)
        self.second = EqualisedConv(
            channels_out, channels_out, 3, bias=bias, gain=GAIN, factor=half
        )
        self.second_norm = normalised(kind, channels_out)
        self.shortcut = EqualisedConv(channels_in, channels_out, 1, bias=False, factor=half)
        self.shortcut_norm = normalised(kind, channels_out)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = F.avg_pool2d(x_BCHW, 2)
        inner_BCHW = leaky_relu(self.first_norm(self.first(x_BCHW)))
        inner_BCHW = self.second_norm(self.second(inner_BCHW))
        return leaky_relu(self.shortcut_norm(self.shortcut(x_BCHW)) + inner_BCHW)


class ResNetEncoder(nn.Module):
    """Image B × C × H × W → style B × S.

    `widths`: channels from the full resolution down to the coarsest `grid`. Without or with group
    normalisation, no layer couples samples: each image has one style.
    """

    def __init__(
        self,
        widths: Sequence[int],
        grid: Grid,
        image_channels: int,
        style_size: int,
        kind: Normalisation,
    ) -> None:
        super().__init__()
        bias = kind == "none"
        self.from_image = EqualisedConv(image_channels, widths[0], 3, bias=bias, gain=GAIN)
        self.from_image_norm = normalised(kind, widths[0])
        self.blocks = nn.ModuleList(
            PooledBlock(channels_in, channels_out, kind)
            for channels_in, channels_out in pairwise(widths)
        )
        self.style = EqualisedLinear(widths[-1] * grid.pixels, style_size)
        self.style_norm = normalised(kind, style_size) if kind == "batch" else nn.Identity()

    def forward(self, image_BCHW: Tensor) -> Tensor:
        x_BCHW = leaky_relu(self.from_image_norm(self.from_image(channels_last(image_BCHW))))
        for block in self.blocks:
            x_BCHW = run(block, x_BCHW)
        style_BS: Tensor = self.style_norm(in_float32(self.style, x_BCHW.flatten(1)))
        return style_BS
