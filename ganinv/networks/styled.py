"""The common parts of the style-based families: everything except normalisation and gains.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), arXiv 1912.04958:
a mapping network from code to style, a generator of modulated convolutions around a learned 4 × 4
constant whose image is a sum over the resolutions ("skip", Fig. 7b), and a residual discriminator
(`residual.py`, Fig. 7c). Left out, because an invertible GAN cannot have it:

- per-pixel noise: an image would hold information beyond its code, which no encoder could recover;
- minibatch standard deviation: one image has one code, whatever else is in the batch.

Style mixing and path length regularisation belong to training and are also left out.

StyleGAN2 multiplies activations with √2; here the weights have that gain, as in Progressive GAN.
While biases are 0, as at the start, the function is the same, and saves a pass over activations.

Shapes: B samples, L latent elements, S style elements, C channels, I in, O out, H × W pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganinv.errors import ConfigError
from ganinv.networks.base import COARSEST, NetworkConfig, Networks, seeded_pair
from ganinv.networks.layers import (
    BlurredUpConv,
    BlurUp,
    EqualisedConv,
    EqualisedLinear,
    channels_last,
    drawn_weights,
    in_float32,
    leaky_relu,
)
from ganinv.networks.recomputing import run
from ganinv.networks.residual import ResidualDiscriminator

MAPPER_LAYERS = 8

# (output B × O × H × W, modulation B × I, kernel O × I × h × w) → factor of the output,
# B × O × 1 × 1, or None for 1
Normalise = Callable[[Tensor, Tensor, Tensor], Tensor | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class StyledConfig(NetworkConfig):
    """Sizes of a style-based family."""

    latent_size: int = 512
    style_size: int = 512  # elements of the mapper's output and of its hidden layers
    # Learning rate of the mapper relative to the other layers. Its parameters are stored divided by
    # this rate and multiplied by it in the forward pass, so that any optimizer works. Under Adam
    # this acts as a separate learning rate, except that ε weighs 1/rate times more and that
    # reported gradient norms are those of the stored parameters. Under SGD it acts as its square.
    mapper_rate: float = 0.01

    def __post_init__(self) -> None:
        NetworkConfig.__post_init__(self)
        if self.style_size < 1:
            raise ConfigError(f"style_size = {self.style_size}: must be at least 1")
        if not 0 < self.mapper_rate <= 1:
            raise ConfigError(
                f"mapper_rate = {self.mapper_rate}: must lie in (0, 1]; 1 lets the mapper learn as "
                "fast as the other layers"
            )


@dataclass(frozen=True, kw_only=True)
class Traits:
    """The differences between the style-based families."""

    gain: float  # of weights before a leaky ReLU
    linear_gain: float  # of weights without one: heads, modulations, shortcuts, images
    normalise_code: bool  # whether the mapper scales the code to unit root mean square
    normalise: Normalise  # of feature layers
    normalise_image: Normalise  # of the layers that give images


class Mapper(nn.Module):
    """Scaled code B × L → style B × S."""

    def __init__(self, config: StyledConfig, traits: Traits) -> None:
        super().__init__()
        self.normalise_code = traits.normalise_code
        sizes = [config.latent_size, *[config.style_size] * MAPPER_LAYERS]
        self.layers = nn.ModuleList(
            EqualisedLinear(size_in, size_out, gain=traits.gain, speed=config.mapper_rate)
            for size_in, size_out in pairwise(sizes)
        )

    def forward(self, scaled_BL: Tensor) -> Tensor:
        x_BS = scaled_BL
        if self.normalise_code:
            x_BS = x_BS * (x_BS.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            x_BS = leaky_relu(layer(x_BS))
        return x_BS


class ModulatedConv(nn.Module):
    """Convolution of channels weighted by a style; then normalisation and bias.

    The weights differ between samples, but all samples share the kernel. So this is one ordinary
    convolution, which gives the same sums as one kernel per sample (Fig. 2d), in another order.
    """

    def __init__(
        self, conv: EqualisedConv, style_size: int, modulation_gain: float, normalise: Normalise
    ) -> None:
        super().__init__()
        channels_out, channels_in = conv.weight.shape[:2]
        self.modulation = EqualisedLinear(
            style_size, channels_in, gain=modulation_gain, bias_start=1.0
        )
        self.conv = conv
        self.bias = nn.Parameter(torch.zeros(channels_out))
        self.normalise = normalise

    def forward(self, x_BIHW: Tensor, style_BS: Tensor) -> Tensor:
        modulation_BI: Tensor = in_float32(self.modulation, style_BS)
        y_BOHW: Tensor = self.conv(
            channels_last(x_BIHW * modulation_BI.to(x_BIHW)[:, :, None, None])
        )
        factor_BO11 = self.normalise(y_BOHW, modulation_BI, self.conv.kernel())
        if factor_BO11 is None:
            wide_BOHW = y_BOHW + self.bias[:, None, None]
        else:
            wide_BOHW = torch.addcmul(self.bias[:, None, None], y_BOHW, factor_BO11)
        return wide_BOHW.to(y_BOHW.dtype)  # under autocast, activations are kept in bfloat16


class SynthesisBlock(nn.Module):
    """Features and image at one resolution → features and image at twice that resolution."""

    def __init__(
        self, channels_in: int, width: int, image_channels: int, style_size: int, traits: Traits
    ) -> None:
        super().__init__()
        conv = BlurredUpConv(channels_in, width, gain=traits.gain)
        self.up = ModulatedConv(conv, style_size, traits.linear_gain, traits.normalise)
        self.same = same_size(width, style_size, traits)
        self.image_up = BlurUp(image_channels)
        self.to_image = to_image(width, image_channels, style_size, traits)

    def forward(
        self, x_BCHW: Tensor, image_BCHW: Tensor, up_BS: Tensor, same_BS: Tensor, image_BS: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The last three: styles of the layers, B × S, mostly the same one."""
        x_BCHW = leaky_relu(self.up(x_BCHW, up_BS))
        x_BCHW = leaky_relu(self.same(x_BCHW, same_BS))
        return x_BCHW, self.image_up(image_BCHW) + self.to_image(x_BCHW, image_BS)


def same_size(width: int, style_size: int, traits: Traits) -> ModulatedConv:
    """A feature layer that keeps the resolution."""
    conv = EqualisedConv(width, width, 3, bias=False, gain=traits.gain)
    return ModulatedConv(conv, style_size, traits.linear_gain, traits.normalise)


def to_image(width: int, image_channels: int, style_size: int, traits: Traits) -> ModulatedConv:
    """A layer that turns features into their contribution to the image."""
    conv = EqualisedConv(width, image_channels, 1, bias=False, gain=traits.linear_gain)
    return ModulatedConv(conv, style_size, traits.linear_gain, traits.normalise_image)


class Generator(nn.Module):
    """Scaled code B × L → image B × C × H × W."""

    coarse_first = True

    def __init__(
        self, config: StyledConfig, traits: Traits, resolution: int, image_channels: int
    ) -> None:
        super().__init__()
        widths = config.widths(resolution)[::-1]
        self.mapper = Mapper(config, traits)
        self.start_CHW = nn.Parameter(drawn_weights(widths[0], COARSEST, COARSEST))
        self.first = same_size(widths[0], config.style_size, traits)
        self.to_image = to_image(widths[0], image_channels, config.style_size, traits)
        self.blocks = nn.ModuleList(
            SynthesisBlock(channels_in, width, image_channels, config.style_size, traits)
            for channels_in, width in pairwise(widths)
        )

    @property
    def style_layers(self) -> int:
        """Two for each resolution, as in StyleGAN: a layer that gives an image shares its style
        with the feature layer that follows.
        """
        return 2 * (1 + len(self.blocks))

    def forward(self, scaled_BL: Tensor) -> Tensor:
        return self.synthesis(self.style(scaled_BL))

    def style(self, entering_BL: Tensor) -> Tensor:
        """Scaled code → style B × S."""
        style_BS: Tensor = in_float32(self.mapper, entering_BL)
        return style_BS

    def synthesis(self, style: Tensor) -> Tensor:
        """Image of a style B × S, or of one style for each of K layers, B × K × S."""
        layers = self.style_layers
        styles = [style] * layers if style.ndim == 2 else style.unbind(1)
        x_BCHW = leaky_relu(self.first(self.start_CHW[None], styles[0]))
        image_BCHW: Tensor = self.to_image(x_BCHW, styles[1])
        for block, number in zip(self.blocks, range(1, layers - 1, 2), strict=True):
            x_BCHW, image_BCHW = run(block, x_BCHW, image_BCHW, *styles[number : number + 3])
        return image_BCHW


def build_styled(
    config: StyledConfig, traits: Traits, *, resolution: int, image_channels: int, seed: int
) -> Networks:
    """Both networks of a style-based family at their initial weights, a function of `seed`."""
    widths = config.widths(resolution)
    return seeded_pair(
        lambda: Generator(config, traits, resolution, image_channels),
        lambda: ResidualDiscriminator(
            widths,
            image_channels,
            config.latent_size,
            feature_block=config.feature_block,
            gain=traits.gain,
            linear_gain=traits.linear_gain,
        ),
        seed,
    )
