"""The networks of R3GAN, with an encoder: residual blocks of grouped convolutions.

Huang et al., "The GAN is dead; long live the GAN! A Modern GAN Baseline" (NeurIPS 2024), arXiv
2501.05441, configuration E; where the text gives no number, that of the authors' code (brownvc/
R3GAN). No normalisation, no mapper, no noise, no minibatch statistics, no equalised learning rate.
So D is piecewise linear, and one image has one code.

    G   code → linear, times a basis C × 4 × 4 → blocks → [1 × 1 → twice the resolution → blocks] …
        → 1 × 1
    D   1 × 1 → [blocks → half the resolution → 1 × 1] … → blocks → basis, one 4 × 4 filter per
        channel → linear

The 1 × 1 between resolutions is there only where widths differ; resampling is [1, 3, 3, 1]. At 256²
with the default widths and the authors' latent of 64, G has 23,057,952 parameters, and D, without
its second head, 23,009,568.

Added here: a head for the code, with a basis of its own beside that of the adversarial value. Its
linear layer sees `max_width` numbers, so a `latent_size` above that gives no further information.
Grids other than 4 × 4 have bases of their sizes.

Shapes: B samples, C channels, H × W pixels, L latent elements, F features, O outputs.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv.errors import ConfigError
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
    LEAK,
    BlurDown,
    BlurUp,
    channels_last,
    drawn_weights,
    in_float32,
    leaky_relu,
)
from ganinv.networks.recomputing import run
from ganinv.sizes import Resolution

CONDITIONAL = True
EXPANSION = 2  # channels inside a block, as a multiple of those outside
FULL_MAPS = 4  # coarsest maps with `max_width` channels; every finer one has half as many
GAIN = math.sqrt(2 / (1 + LEAK**2))  # keeps the mean square through a leaky ReLU


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(NetworkConfig):
    """Sizes of R3GAN; the defaults are those of FFHQ, at 64² and at 256².

    The authors' latent has 64 elements. A dynamic latent scale chooses among more by itself.
    """

    name: str = "r3gan"
    latent_size: int = 512
    # None: the four coarsest maps have `max_width`, and every finer one half as many.
    width: int | None = None
    max_width: int = 768
    blocks: int = 2  # residual blocks per resolution
    group_size: int = 16  # channels of a group in 3 × 3 convolutions
    # A constant beside the linear function of the code in G's basis; the authors have none. Without
    # it, images of codes near 0 are pale, and so are reconstructions while the encoder is unsure.
    basis_bias: bool = False

    def __post_init__(self) -> None:
        NetworkConfig.__post_init__(self)
        for key in ("blocks", "group_size"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be at least 1")

    def finest_width(self, levels: int) -> int:
        if self.width is not None:
            return self.width
        return max(1, self.max_width >> max(0, levels + 1 - FULL_MAPS))


class Conv(nn.Module):
    """Convolution whose weights begin as N(0, gain² / fan-in); odd kernels keep H × W."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 1,
        *,
        groups: int = 1,
        gain: float = 1.0,
        bias: bool = False,
    ) -> None:
        super().__init__()
        shape = (channels_out, channels_in // groups, kernel, kernel)
        self.weight = nn.Parameter(drawn(*shape, gain=gain))
        self.bias = nn.Parameter(torch.zeros(channels_out)) if bias else None
        self.padding, self.groups = kernel // 2, groups

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.conv2d(x_BCHW, self.weight, self.bias, padding=self.padding, groups=self.groups)


def drawn(*shape: int, gain: float = 1.0) -> Tensor:
    """Weights from N(0, gain² / fan-in). A gain of 0 gives zeros."""
    if gain == 0:
        return torch.zeros(shape)
    return drawn_weights(*shape, divisor=math.sqrt(math.prod(shape[1:])) / gain)


class ResidualBlock(nn.Module):
    """x + a 1 × 1, a grouped 3 × 3 and a 1 × 1 convolution, the first two with leaky ReLU.

    `depth`: blocks of the network. The branch begins at 0; `depth` scales its other weights, so
    that a step of the optimizer changes networks of all depths equally ("Fixup", Zhang et al.,
    2019).
    """

    def __init__(self, channels: int, group_size: int, depth: int) -> None:
        super().__init__()
        inner = EXPANSION * channels
        if inner > group_size and inner % group_size:
            raise ConfigError(
                f"network.group_size = {group_size}: {channels} channels are {inner} inside a "
                f"block, which do not divide into such groups; choose network.max_width (and "
                f"network.width) so that all widths are multiples of {group_size // EXPANSION or 1}"
            )
        gain = GAIN * depth**-0.25
        groups = max(1, inner // group_size)
        self.expand = Conv(channels, inner, gain=gain, bias=True)
        self.grouped = Conv(inner, inner, 3, groups=groups, gain=gain, bias=True)
        self.contract = Conv(inner, channels, gain=0.0)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        inner_BCHW = leaky_relu(self.grouped(leaky_relu(self.expand(x_BCHW))))
        y_BCHW: Tensor = self.contract(inner_BCHW)
        return y_BCHW.add_(x_BCHW)


def residual_blocks(config: Config, channels: int, levels: int) -> list[nn.Module]:
    """Those of one resolution, of `levels` + 1."""
    depth = config.blocks * (levels + 1)
    return [ResidualBlock(channels, config.group_size, depth) for _ in range(config.blocks)]


def matching(channels_in: int, channels_out: int) -> list[nn.Module]:
    """The 1 × 1 convolution between two widths; none between equal ones."""
    return [Conv(channels_in, channels_out)] if channels_in != channels_out else []


class Generator(nn.Module):
    """Scaled code B × L → image B × C × H × W."""

    coarse_first = True

    def __init__(
        self, config: Config, resolution: Resolution, image_channels: int, classes: int = 0
    ) -> None:
        super().__init__()
        widths = config.widths(resolution)[::-1]
        levels = len(widths) - 1
        size = config.latent_size + (embedding_size(config.latent_size) if classes else 0)
        self.basis = GenerativeBasis(
            size, widths[0], coarsest_grid(resolution), bias=config.basis_bias
        )
        self.first = nn.Sequential(*residual_blocks(config, widths[0], levels))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *matching(coarse, fine), BlurUp(fine), *residual_blocks(config, fine, levels)
            )
            for coarse, fine in pairwise(widths)
        )
        self.to_image = Conv(widths[-1], image_channels)
        self.label = LabelEmbedding(config.latent_size, classes) if classes else None

    def forward(self, scaled_BL: Tensor) -> Tensor:
        if self.label is not None:
            scaled_BL = in_float32(self.label, scaled_BL)
        x_BCHW = self.first(channels_last(in_float32(self.basis, scaled_BL)))
        for block in self.blocks:
            x_BCHW = run(block, x_BCHW)
        image_BCHW: Tensor = self.to_image(x_BCHW)
        return image_BCHW


class GenerativeBasis(nn.Module):
    """Code B × L → B × C × the coarsest grid: a linear function times a learned map per channel."""

    def __init__(self, latent_size: int, channels: int, grid: Grid, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(channels, latent_size))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        self.basis_CHW = nn.Parameter(drawn_weights(channels, *grid))

    def forward(self, scaled_BL: Tensor) -> Tensor:
        return F.linear(scaled_BL, self.weight, self.bias)[:, :, None, None] * self.basis_CHW


class DiscriminativeBasis(nn.Module):
    """B × C × the coarsest grid → B × O: a learned filter per channel, then a linear function."""

    def __init__(self, channels: int, outputs: int, grid: Grid) -> None:
        super().__init__()
        self.basis = nn.Parameter(drawn(channels, 1, *grid))
        self.weight = nn.Parameter(drawn(outputs, channels))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        seen_BC = F.conv2d(x_BCHW, self.basis, groups=self.basis.shape[0]).flatten(1)
        return F.linear(seen_BC, self.weight)


class Blocks(Trunk):
    """The blocks of D, down to the coarsest grid, whose pixels are flattened."""

    def __init__(self, config: Config, resolution: Resolution, image_channels: int) -> None:
        super().__init__()
        widths = config.widths(resolution)
        levels = len(widths) - 1
        self.grid = coarsest_grid(resolution)
        self.feature_block = config.feature_block
        self.feature_pixels = feature_pixels(self.feature_block, self.grid)
        self.from_image = Conv(image_channels, widths[0])
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *residual_blocks(config, fine, levels), BlurDown(fine), *matching(fine, coarse)
            )
            for fine, coarse in pairwise(widths)
        )
        self.last = nn.Sequential(*residual_blocks(config, widths[-1], levels))
        self.channels = widths[-1]
        self.size = self.channels * self.grid.pixels

    def maps(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """The last map, and the output of the feature block, flattened."""
        x_BCHW = self.from_image(channels_last(image_BCHW))
        x_BCHW, feature_BF = through_blocks(self.blocks, x_BCHW, self.feature_block)
        return self.last(x_BCHW), feature_BF

    def through(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        x_BCHW, feature_BF = self.maps(image_BCHW)
        return x_BCHW.flatten(1), feature_BF


def features_of(config: Config, resolution: Resolution) -> int:
    """The length of D's feature, C × pixels."""
    channels = config.widths(resolution)[config.feature_block]
    return channels * feature_pixels(config.feature_block, coarsest_grid(resolution))


class Discriminator(Blocks):
    """Image → `Judgement`. No layer couples the samples of a batch, so each image has one code."""

    piecewise_linear = True

    def __init__(
        self, config: Config, resolution: Resolution, image_channels: int, classes: int = 0
    ) -> None:
        super().__init__(config, resolution, image_channels)
        self.adversarial = DiscriminativeBasis(self.channels, 1, self.grid)
        self.latent = DiscriminativeBasis(self.channels, config.latent_size, self.grid)
        self.projection = (
            DiscriminativeBasis(self.channels, classes, self.grid) if classes else None
        )

    def forward(self, image_BCHW: Tensor) -> Judgement | LabelledJudgement:
        x_BCHW, feature_BF = self.maps(image_BCHW)
        adversarial_B = in_float32(self.adversarial, x_BCHW).squeeze(1)
        latent_BL = in_float32(self.latent, x_BCHW)
        if self.projection is None:
            return Judgement(adversarial_B, latent_BL, feature_BF)
        projection_BK = in_float32(self.projection, x_BCHW)
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

    Networks of other kinds than R3GAN's two have the dense heads of all families.
    Raises `ConfigError` for an invalid resolution, width or feature block, or an unknown kind.
    """
    sizes = (config, resolution, image_channels)
    makers = {
        "generator": lambda: Generator(*sizes, classes),
        "discriminator": lambda: Discriminator(*sizes, classes),
        "classifier": lambda: Classifier(features_of(config, resolution), classes),
        **makers_on(lambda: Blocks(*sizes), config, gain=GAIN),
    }
    return seeded_networks(makers, kinds, seed)
