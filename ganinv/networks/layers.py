"""Layers that the network families share. Shapes: B samples, C channels, H × W pixels.

Equalised learning rate: Karras et al., "Progressive Growing of GANs" (2018), §4.1. Weights are
N(0, 1) and scaled by gain/√fan_in in the forward pass, so that Adam moves all of them alike.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAK = 0.2  # slope of the leaky ReLU below 0, in all of the papers' networks


def leaky_relu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK)


class EqualisedConv(nn.Module):
    """Convolution with equalised learning rate; odd kernels keep H × W."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(channels_out)) if bias else None
        self.rate = 1 / math.sqrt(channels_in * kernel * kernel)
        self.padding = kernel // 2

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.conv2d(x_BCHW, self.weight * self.rate, self.bias, padding=self.padding)


class EqualisedLinear(nn.Module):
    """Fully connected layer with equalised learning rate."""

    def __init__(self, size_in: int, size_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size_out, size_in))
        self.bias = nn.Parameter(torch.zeros(size_out))
        self.rate = 1 / math.sqrt(size_in)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.rate, self.bias)


class Blur(nn.Module):
    """Binomial [1, 3, 3, 1] filter with a change of resolution by 2, zero beyond the border.

    Aliasing-free up- and downsampling of StyleGAN2 and SWAGAN (R. Zhang, 2019). The kernel is a
    buffer that is not saved: it is a constant.
    """

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = torch.outer(taps, taps).expand(channels, 1, 4, 4).clone()
        self.register_buffer("kernel", kernel, persistent=False)
        self.channels = channels


class BlurUp(Blur):
    """Twice the resolution: zeros between the pixels, then 4 times the blur (mean kept)."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.conv_transpose2d(
            x_BCHW, 4 * self.kernel, stride=2, padding=1, groups=self.channels
        )


class BlurDown(Blur):
    """Half the resolution: the blur at every other pixel."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.conv2d(x_BCHW, self.kernel, stride=2, padding=1, groups=self.channels)
