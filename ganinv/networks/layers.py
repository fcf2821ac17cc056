"""Layers that the network families share. Shapes: B samples, C channels, H × W pixels.

Equalised learning rate: Karras et al., "Progressive Growing of GANs" (2018), §4.1. Weights are
N(0, 1) and scaled by gain/√fan_in in the forward pass, so that Adam trains all at equal speed.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv.networks.filtering import filtered, without_autocast

Result = TypeVar("Result")
LEAK = 0.2  # slope of the leaky ReLU below 0, in all of the papers' networks


def channels_last(x_BCHW: Tensor) -> Tensor:
    """The same tensor with the channels of a pixel side by side in memory.

    The layers keep this format. Convolutions are faster in it: on processors up to 2.5 times in
    float32, and on GPUs wherever tensor cores compute them. `flatten` gives the same order in
    either format.
    """
    return x_BCHW.contiguous(memory_format=torch.channels_last)


def in_float32(layer: Callable[..., Result], *inputs: Tensor) -> Result:
    """What `layer` makes of its inputs, in float32 although autocast is on around it.

    For layers that are cheap and whose rounding would matter. Without autocast nothing changes.
    """
    device = inputs[0].device
    on = torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)
    if not on:
        return layer(*inputs)
    with without_autocast(device):
        return layer(*(x.float() for x in inputs))


def leaky_relu(x: Tensor) -> Tensor:
    """In place: `x` must be a result that nothing else uses."""
    return F.leaky_relu(x, LEAK, inplace=True)


def drawn_weights(*shape: int, divisor: float = 1.0) -> Tensor:
    """Weights from N(0, 1), divided by `divisor`: the bits of `torch.randn(shape) / divisor`.

    On `meta` there are no weights to draw. PyTorch computes there by way of its compiler, whose
    import would delay every start of a training by a second.
    """
    weights = torch.empty(shape)
    return weights if weights.is_meta else weights.normal_().div_(divisor)


class EqualisedConv(nn.Module):
    """Convolution with equalised learning rate; odd kernels keep H × W.

    `factor` multiplies the output, by way of the weights and the bias.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        *,
        bias: bool = True,
        gain: float = 1.0,
        factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn_weights(channels_out, channels_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(channels_out)) if bias else None
        self.rate = gain / math.sqrt(channels_in * kernel * kernel)
        self.factor = factor
        self.padding = kernel // 2

    def kernel(self) -> Tensor:
        return self.weight * (self.rate * self.factor)

    def offset(self) -> Tensor | None:
        return self.bias if self.bias is None or self.factor == 1 else self.bias * self.factor

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.conv2d(x_BCHW, self.kernel(), self.offset(), padding=self.padding)


class EqualisedLinear(nn.Module):
    """Fully connected layer with equalised learning rate.

    A `speed` below 1 makes the layer learn more slowly under optimizers with equal step sizes for
    all parameters (StyleGAN's `lr_mul`): parameters are stored divided by `speed`, and multiplied
    by it in the forward pass.
    """

    def __init__(
        self,
        size_in: int,
        size_out: int,
        *,
        gain: float = 1.0,
        speed: float = 1.0,
        bias_start: float = 0.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn_weights(size_out, size_in, divisor=speed))
        self.bias = nn.Parameter(torch.full((size_out,), bias_start / speed))
        self.rate = gain * speed / math.sqrt(size_in)
        self.speed = speed

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.rate, self.bias * self.speed)


class Blur(nn.Module):
    """Binomial [1, 3, 3, 1] filter for changes of resolution by 2, zero beyond the border.

    Aliasing-free up- and downsampling of StyleGAN2 and SWAGAN (R. Zhang, 2019). The kernel is a
    buffer that is not saved: it is a constant. `factor` multiplies it.
    """

    kernel: Tensor

    def __init__(self, channels: int, factor: float = 1.0) -> None:
        super().__init__()
        # In Python, for the reason given at `drawn_weights`; all values are exact in float32.
        kernel_HW = [[factor * a * b / 64 for b in (1, 3, 3, 1)] for a in (1, 3, 3, 1)]
        self.register_buffer("kernel", torch.tensor([[kernel_HW]] * channels), persistent=False)


class BlurUp(Blur):
    """Twice the resolution: zeros between the pixels, then 4 times the blur (mean kept)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, factor=4.0)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return filtered(x_BCHW, self.kernel, stride=2, padding=1, transposed=True)


class BlurDown(Blur):
    """Half the resolution: the blur at every other pixel."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return filtered(x_BCHW, self.kernel, stride=2, padding=1)


class BlurredUpConv(EqualisedConv):
    """Twice the resolution by a transposed 3 × 3 convolution without bias, then 4 times the blur.

    StyleGAN2's order. Away from the border, the result equals `BlurUp` and then a convolution, for
    a quarter of the multiplications.
    """

    def __init__(self, channels_in: int, channels_out: int, *, gain: float = 1.0) -> None:
        super().__init__(channels_in, channels_out, 3, bias=False, gain=gain)
        self.blur = Blur(channels_out, factor=4.0)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        kernel_IOHW = self.kernel().transpose(0, 1)
        wide_BCHW = F.conv_transpose2d(x_BCHW, kernel_IOHW, stride=2)  # 2H + 1 pixels
        return filtered(wide_BCHW, self.blur.kernel, padding=1)


class BlurredDownConv(EqualisedConv):
    """Half the resolution by the blur and a 3 × 3 convolution at every other pixel (StyleGAN2)."""

    def __init__(
        self, channels_in: int, channels_out: int, *, gain: float = 1.0, factor: float = 1.0
    ) -> None:
        super().__init__(channels_in, channels_out, 3, gain=gain, factor=factor)
        self.blur = Blur(channels_in)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        soft_BCHW = filtered(x_BCHW, self.blur.kernel, padding=2)
        return F.conv2d(soft_BCHW, self.kernel(), self.offset(), stride=2)  # H + 1 to H / 2
