"""The author's convolutional family (PVDGAN repository, 2024): residual blocks with blurred
resampling and equalised learning rate. No normalisation, no noise, no tanh.

Papers: PVDGAN §3 ("a simple model architecture consisting of only convolution layers and skip
connections", up- and downsampling as in SWAGAN, no direct skip connection to the input).

At 256² with the default widths: G 25,829,955 parameters; D 23,258,241, which is the author's
31,647,873 without his third head (log variance, 8,389,632 parameters), which no loss trains.

Shapes: B samples, C channels, H × W pixels, L latent elements, F features.
"""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from ganinv.networks.base import (
    COARSEST,
    Judgement,
    NetworkConfig,
    Networks,
    feature_pixels,
    seeded_pair,
    through_blocks,
)
from ganinv.networks.layers import (
    BlurDown,
    BlurUp,
    EqualisedConv,
    EqualisedLinear,
    channels_last,
    in_float32,
    leaky_relu,
)
from ganinv.networks.recomputing import run


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(NetworkConfig):
    """Sizes of the convolutional family.

    `feature_block` = −1 is the input of the heads, as in the author's 2024 code.
    """

    name: str = "conv"
    latent_size: int = 1024
    stem_width: int | None = None  # channels of the generator's 4 × 4 image; None = max_width


class ResidualPair(nn.Module):
    """(1 × 1 convolution + two 3 × 3 convolutions with leaky ReLU) / √2.

    The last layers of both paths divide by √2: a leaky ReLU commutes with positive factors.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        half = math.sqrt(0.5)
        self.skip = EqualisedConv(channels_in, channels_out, 1, bias=False, factor=half)
        self.first = EqualisedConv(channels_in, channels_out, 3)
        self.second = EqualisedConv(channels_out, channels_out, 3, factor=half)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        inner_BCHW = leaky_relu(self.second(leaky_relu(self.first(x_BCHW))))
        skip_BCHW: Tensor = self.skip(x_BCHW)
        return skip_BCHW.add_(inner_BCHW)


class Generator(nn.Module):
    """Scaled code B × L → image B × C × H × W."""

    coarse_first = True

    def __init__(self, config: Config, resolution: int, image_channels: int) -> None:
        super().__init__()
        widths = config.widths(resolution)[-2::-1]  # the stem replaces the last width, 4 × 4
        stem_width = config.stem_width or config.max_width
        self.stem = EqualisedStem(config.latent_size, stem_width)
        self.blocks = nn.ModuleList()
        channels = stem_width
        for width in widths:
            self.blocks.append(nn.Sequential(BlurUp(channels), ResidualPair(channels, width)))
            channels = width
        self.to_image = EqualisedConv(channels, image_channels, 1)

    def forward(self, scaled_BL: Tensor) -> Tensor:
        x_BCHW = leaky_relu(channels_last(in_float32(self.stem, scaled_BL)))
        for block in self.blocks:
            x_BCHW = run(block, x_BCHW)
        image_BCHW: Tensor = self.to_image(x_BCHW)
        return image_BCHW


class EqualisedStem(EqualisedConv):
    """Code B × L → B × C × 4 × 4.

    The author's valid 4 × 4 convolution of the code, zero-padded to 7 × 7 and multiplied by 4: each
    pixel sees one tap of the kernel, so the fan-in is L.
    """

    def __init__(self, latent_size: int, channels: int) -> None:
        super().__init__(latent_size, channels, COARSEST)
        self.rate = 1 / math.sqrt(latent_size)

    def forward(self, scaled_BL: Tensor) -> Tensor:
        # Pixel (i, j) sees the tap (3 − i, 3 − j).
        kernel_LP = self.weight.flip(2, 3).permute(1, 0, 2, 3).flatten(1)
        flat_BP = scaled_BL @ (kernel_LP * self.rate)
        x_BCHW = flat_BP.reshape(-1, self.weight.shape[0], COARSEST, COARSEST)
        assert self.bias is not None
        return x_BCHW + self.bias[:, None, None]


class Discriminator(nn.Module):
    """Image → `Judgement`. No layer couples the samples of a batch, so each image has one code."""

    piecewise_linear = True

    def __init__(self, config: Config, resolution: int, image_channels: int) -> None:
        super().__init__()
        widths = config.widths(resolution)[:-1]
        self.feature_block = config.feature_block
        self.feature_pixels = feature_pixels(self.feature_block)
        self.from_image = EqualisedConv(image_channels, widths[0], 1)
        self.blocks = nn.ModuleList()
        channels = widths[0]
        for width in widths:
            self.blocks.append(nn.Sequential(ResidualPair(channels, width), BlurDown(width)))
            channels = width
        flat = channels * COARSEST * COARSEST
        self.adversarial = EqualisedLinear(flat, 1)
        self.latent = EqualisedLinear(flat, config.latent_size)

    def forward(self, image_BCHW: Tensor) -> Judgement:
        x_BCHW = leaky_relu(self.from_image(channels_last(image_BCHW)))
        x_BCHW, feature_BF = through_blocks(self.blocks, x_BCHW, self.feature_block)
        flat_BF = x_BCHW.flatten(1)
        return Judgement(
            adversarial_B=in_float32(self.adversarial, flat_BF).squeeze(1),
            latent_BL=in_float32(self.latent, flat_BF),
            feature_BF=feature_BF,
        )


def build(config: Config, *, resolution: int, image_channels: int, seed: int) -> Networks:
    """Both networks at their initial weights, a function of `seed`.

    Raises `ConfigError` for an invalid resolution or feature block.
    """
    return seeded_pair(
        lambda: Generator(config, resolution, image_channels),
        lambda: Discriminator(config, resolution, image_channels),
        seed,
    )
