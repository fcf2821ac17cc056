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

import torch
from torch import Tensor, nn

from ganinv.networks.base import (
    PAIR,
    Grid,
    Judgement,
    Kinds,
    LabelledJudgement,
    NetworkConfig,
    Networks,
    coarsest_grid,
    feature_pixels,
    seeded_networks,
    through_blocks,
)
from ganinv.networks.heads import Trunk, makers_on
from ganinv.networks.labels import Classifier, LabelEmbedding, embedding_size
from ganinv.networks.layers import (
    BlurDown,
    BlurUp,
    EqualisedConv,
    EqualisedLinear,
    channels_last,
    drawn_weights,
    in_float32,
    leaky_relu,
)
from ganinv.networks.recomputing import run
from ganinv.sizes import Resolution

CONDITIONAL = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(NetworkConfig):
    """Sizes of the convolutional family.

    `feature_block` = −1 is the input of the heads, as in the author's 2024 code.
    """

    name: str = "conv"
    latent_size: int = 1024
    stem_width: int | None = None  # channels of the generator's first map; None = max_width


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

    def __init__(
        self, config: Config, resolution: Resolution, image_channels: int, classes: int = 0
    ) -> None:
        super().__init__()
        widths = config.widths(resolution)[-2::-1]  # the stem replaces the last, coarsest width
        stem_width = config.stem_width or config.max_width
        size = config.latent_size + (embedding_size(config.latent_size) if classes else 0)
        self.stem = EqualisedStem(size, stem_width, coarsest_grid(resolution))
        self.blocks = nn.ModuleList()
        channels = stem_width
        for width in widths:
            self.blocks.append(nn.Sequential(BlurUp(channels), ResidualPair(channels, width)))
            channels = width
        self.to_image = EqualisedConv(channels, image_channels, 1)
        self.label = LabelEmbedding(config.latent_size, classes) if classes else None

    def forward(self, scaled_BL: Tensor) -> Tensor:
        if self.label is not None:
            scaled_BL = in_float32(self.label, scaled_BL)
        x_BCHW = leaky_relu(channels_last(in_float32(self.stem, scaled_BL)))
        for block in self.blocks:
            x_BCHW = run(block, x_BCHW)
        image_BCHW: Tensor = self.to_image(x_BCHW)
        return image_BCHW


class EqualisedStem(nn.Module):
    """Code B × L → B × C × the coarsest grid, with equalised learning rate.

    The author's valid 4 × 4 convolution of the code, zero-padded to 7 × 7 and multiplied by 4: each
    pixel sees one tap of the kernel, so the fan-in is L. Other grids have as many taps as pixels.
    """

    def __init__(self, latent_size: int, channels: int, grid: Grid) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn_weights(channels, latent_size, *grid))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.rate = 1 / math.sqrt(latent_size)

    def forward(self, scaled_BL: Tensor) -> Tensor:
        # Of 4 × 4 pixels, pixel (i, j) sees the tap (3 − i, 3 − j).
        kernel_LP = self.weight.flip(2, 3).permute(1, 0, 2, 3).flatten(1)
        flat_BP = scaled_BL @ (kernel_LP * self.rate)
        channels, _, height, width = self.weight.shape
        return flat_BP.reshape(-1, channels, height, width) + self.bias[:, None, None]


class Blocks(Trunk):
    """The blocks of D, down to the coarsest grid, whose pixels are flattened."""

    def __init__(self, config: Config, resolution: Resolution, image_channels: int) -> None:
        super().__init__()
        widths = config.widths(resolution)[:-1]
        grid = coarsest_grid(resolution)
        self.feature_block = config.feature_block
        self.feature_pixels = feature_pixels(self.feature_block, grid)
        self.from_image = EqualisedConv(image_channels, widths[0], 1)
        self.blocks = nn.ModuleList()
        channels = widths[0]
        for width in widths:
            self.blocks.append(nn.Sequential(ResidualPair(channels, width), BlurDown(width)))
            channels = width
        self.size = channels * grid.pixels

    def through(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        x_BCHW = leaky_relu(self.from_image(channels_last(image_BCHW)))
        x_BCHW, feature_BF = through_blocks(self.blocks, x_BCHW, self.feature_block)
        return x_BCHW.flatten(1), feature_BF


def features_of(config: Config, resolution: Resolution) -> int:
    """The length of D's feature, C × pixels."""
    channels = config.widths(resolution)[:-1][config.feature_block]
    return channels * feature_pixels(config.feature_block, coarsest_grid(resolution))


class Discriminator(Blocks):
    """Image → `Judgement`. No layer couples the samples of a batch, so each image has one code."""

    piecewise_linear = True

    def __init__(
        self, config: Config, resolution: Resolution, image_channels: int, classes: int = 0
    ) -> None:
        super().__init__(config, resolution, image_channels)
        self.adversarial = EqualisedLinear(self.size, 1)
        self.latent = EqualisedLinear(self.size, config.latent_size)
        self.projection = EqualisedLinear(self.size, classes) if classes else None

    def forward(self, image_BCHW: Tensor) -> Judgement | LabelledJudgement:
        flat_BF, feature_BF = self.through(image_BCHW)
        adversarial_B = in_float32(self.adversarial, flat_BF).squeeze(1)
        latent_BL = in_float32(self.latent, flat_BF)
        if self.projection is None:
            return Judgement(adversarial_B, latent_BL, feature_BF)
        projection_BK = in_float32(self.projection, flat_BF)
        return LabelledJudgement(adversarial_B, latent_BL, feature_BF, projection_BK)


def build(
    config: Config,
    *,
    resolution: Resolution,
    image_channels: int,
    seed: int,
    kinds: Kinds = PAIR,
    classes: int = 0,
) -> Networks:
    """The networks asked for at their initial weights, a function of `seed`.

    Raises `ConfigError` for an invalid resolution or feature block, or an unknown kind.
    """
    sizes = (config, resolution, image_channels)
    makers = {
        "generator": lambda: Generator(*sizes, classes),
        "discriminator": lambda: Discriminator(*sizes, classes),
        "classifier": lambda: Classifier(features_of(config, resolution), classes),
        **makers_on(lambda: Blocks(*sizes), config),
    }
    return seeded_networks(makers, kinds, seed)
