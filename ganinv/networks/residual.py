"""The residual discriminator of StyleGAN2, with heads for the adversarial value and for the code.

Karras et al. (2020), arXiv 1912.04958, Fig. 7c; without minibatch standard deviation, which couples
the samples of a batch. It has only convolutions and leaky ReLUs: piecewise linear in the image.

Shapes: B samples, C channels, H × W pixels, L latent elements, F features.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from ganinv.networks.base import Grid, Judgement, feature_pixels, through_blocks
from ganinv.networks.heads import Trunk
from ganinv.networks.layers import (
    BlurDown,
    BlurredDownConv,
    EqualisedConv,
    EqualisedLinear,
    channels_last,
    in_float32,
    leaky_relu,
)


class ResidualDown(nn.Module):
    """(shortcut + two 3 × 3 convolutions with leaky ReLU) / √2, at half the resolution.

    The last layers of both paths divide by √2: a leaky ReLU commutes with positive factors.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, gain: float, linear_gain: float
    ) -> None:
        super().__init__()
        half = math.sqrt(0.5)
        self.shortcut = nn.Sequential(
            BlurDown(channels_in),
            EqualisedConv(channels_in, channels_out, 1, bias=False, gain=linear_gain, factor=half),
        )
        self.first = EqualisedConv(channels_in, channels_in, 3, gain=gain)
        self.second = BlurredDownConv(channels_in, channels_out, gain=gain, factor=half)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        inner_BCHW = leaky_relu(self.second(leaky_relu(self.first(x_BCHW))))
        shortcut_BCHW: Tensor = self.shortcut(x_BCHW)
        return shortcut_BCHW.add_(inner_BCHW)


class ResidualTrunk(Trunk):
    """The layers of D below its heads.

    `widths`: channels from the full resolution down to the coarsest `grid`. `gain`: of weights
    before a leaky ReLU; `linear_gain`: of all other weights. `feature_block`: from the last block,
    negative.
    """

    def __init__(
        self,
        widths: Sequence[int],
        image_channels: int,
        *,
        grid: Grid,
        feature_block: int,
        gain: float,
        linear_gain: float,
    ) -> None:
        super().__init__()
        self.size = widths[-1]
        self.feature_block = feature_block
        self.feature_pixels = feature_pixels(self.feature_block, grid)
        self.from_image = EqualisedConv(image_channels, widths[0], 1, gain=gain)
        self.blocks = nn.ModuleList(
            ResidualDown(channels_in, channels_out, gain=gain, linear_gain=linear_gain)
            for channels_in, channels_out in pairwise(widths)
        )
        self.last = EqualisedConv(self.size, self.size, 3, gain=gain)
        self.dense = EqualisedLinear(self.size * grid.pixels, self.size, gain=gain)

    def through(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        x_BCHW = leaky_relu(self.from_image(channels_last(image_BCHW)))
        x_BCHW, feature_BF = through_blocks(self.blocks, x_BCHW, self.feature_block)
        x_BCHW = leaky_relu(self.last(x_BCHW))
        return leaky_relu(in_float32(self.dense, x_BCHW.flatten(1))), feature_BF


class ResidualDiscriminator(ResidualTrunk):
    """Image → `Judgement`. No layer couples the samples of a batch, so each image has one code.

    The arguments are those of the trunk.
    """

    piecewise_linear = True

    def __init__(
        self,
        widths: Sequence[int],
        image_channels: int,
        latent_size: int,
        *,
        grid: Grid,
        feature_block: int,
        gain: float,
        linear_gain: float,
    ) -> None:
        super().__init__(
            widths,
            image_channels,
            grid=grid,
            feature_block=feature_block,
            gain=gain,
            linear_gain=linear_gain,
        )
        self.adversarial = EqualisedLinear(self.size, 1, gain=linear_gain)
        self.latent = EqualisedLinear(self.size, latent_size, gain=linear_gain)

    def forward(self, image_BCHW: Tensor) -> Judgement:
        dense_BF, feature_BF = self.through(image_BCHW)
        return Judgement(
            adversarial_B=in_float32(self.adversarial, dense_BF).squeeze(1),
            latent_BL=in_float32(self.latent, dense_BF),
            feature_BF=feature_BF,
        )
