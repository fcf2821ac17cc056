"""LIA's networks: StyleGAN2 with an invertible mapper, and an encoder that gives styles.

Zhu et al., "Disentangled Inference for GANs with Latently Invertible Autoencoder", arXiv
1906.08090. The paper takes StyleGAN's generator and replaces its mapper by couplings
(`coupling.py`); here the generator and the discriminator are those of `stylegan2`, without noise
and without minibatch standard deviation. `mapper: mlp` is the paper's ablation ("StyleGAN with
encoder"): StyleGAN's own mapper, of which no code of a real image is known.

    paper      here
    φ⁻¹, g     g: z → y → image; also from y alone
    φ          g.code: y → z
    f          e (`resnet_encoder.py`)
    c          d, without an encoder inside

Shapes: B samples, L latent elements, as many style elements; C × H × W image.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from ganinv.errors import ConfigError
from ganinv.networks import styled
from ganinv.networks.base import Kinds, NetworkConfig, Networks, coarsest_grid, seeded
from ganinv.networks.coupling import CouplingMapper
from ganinv.networks.heads import ImageDiscriminator
from ganinv.networks.layers import in_float32
from ganinv.networks.residual import ResidualTrunk
from ganinv.networks.resnet_encoder import Normalisation, ResNetEncoder
from ganinv.networks.styled import StyledConfig
from ganinv.networks.stylegan2 import TRAITS
from ganinv.sizes import Resolution

NETWORKS = ("g", "d", "e")  # d has no encoder inside, as it has in other families


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(NetworkConfig):
    """Sizes of LIA's networks. A style has as many elements as a code."""

    name: str = "lia"
    latent_size: int = 512
    mapper: Literal["coupling", "mlp"] = "coupling"
    mapper_rate: float = 0.01  # learning rate of the mapper relative to the other layers
    coupling_depth: int = 4  # couplings, of two dense layers each: the paper's 8 layers
    coupling_width: int = 512  # of the layer in the middle of each
    encoder_width: int = 64  # channels at the full resolution; they double per halving
    encoder_max_width: int = 1024
    # `none` and `group` (normalisation) keep samples apart. `batch` is the authors' code: images
    # of one micro-batch change each other's styles in training.
    encoder_norm: Normalisation = "none"

    def __post_init__(self) -> None:
        NetworkConfig.__post_init__(self)
        for key in ("coupling_depth", "coupling_width", "encoder_width", "encoder_max_width"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be at least 1")
        if self.mapper == "coupling" and self.latent_size < 2:
            raise ConfigError(
                f"latent_size = {self.latent_size}: a coupling cuts codes into two parts; give at "
                "least 2"
            )
        _ = self.styled  # refuses an impossible `mapper_rate`

    @property
    def styled(self) -> StyledConfig:
        """The same sizes as those of other style-based families."""
        return StyledConfig(
            name=self.name,
            latent_size=self.latent_size,
            width=self.width,
            max_width=self.max_width,
            feature_block=self.feature_block,
            style_size=self.latent_size,
            mapper_rate=self.mapper_rate,
        )

    def encoder_widths(self, resolution: Resolution) -> list[int]:
        """Channels of the encoder at `resolution`, at half of it, down to the coarsest grid."""
        levels = len(self.widths(resolution))
        return [min(self.encoder_width << level, self.encoder_max_width) for level in range(levels)]


class Generator(styled.Generator):
    """Code z, or style y, → image."""

    def forward(self, code_BL: Tensor, space: Literal["z", "y"] = "z") -> Tensor:
        """The image of codes B × L; with `space` y, of styles as `synthesis` takes them."""
        return self.synthesis(code_BL) if space == "y" else super().forward(code_BL)

    @property
    def invertible(self) -> bool:
        """Whether styles have codes."""
        return isinstance(self.mapper, CouplingMapper)

    def code(self, style_BL: Tensor) -> Tensor:
        """φ: the code of each style, exact up to rounding; only where `invertible`."""
        assert isinstance(self.mapper, CouplingMapper)
        return in_float32(self.mapper.to_code, style_BL)


def build(
    config: Config,
    *,
    resolution: Resolution,
    image_channels: int,
    seed: int,
    kinds: Kinds | None = None,
) -> Networks:
    """The three networks at their initial weights, a function of `seed`.

    Raises `ConfigError` for an invalid resolution or feature block, and if a method asks for
    networks by their kinds: those here belong together.
    """
    if kinds is not None:
        raise ConfigError(
            "network.name = lia: has the networks of LIA, and this method asks for "
            f"{', '.join(sorted(set(kinds.values())))}; choose another family, such as conv"
        )
    widths, grid = config.widths(resolution), coarsest_grid(resolution)

    def generator() -> nn.Module:
        coupling = CouplingMapper(
            config.latent_size,
            depth=config.coupling_depth,
            width=config.coupling_width,
            rate=config.mapper_rate,
        )
        mapper = coupling if config.mapper == "coupling" else None
        return Generator(config.styled, TRAITS, resolution, image_channels, mapper)

    def discriminator() -> nn.Module:
        trunk = ResidualTrunk(
            widths,
            image_channels,
            grid=grid,
            feature_block=config.feature_block,
            gain=TRAITS.gain,
            linear_gain=TRAITS.linear_gain,
        )
        return ImageDiscriminator(trunk, TRAITS.linear_gain)

    def encoder() -> nn.Module:
        return ResNetEncoder(
            config.encoder_widths(resolution),
            grid,
            image_channels,
            config.latent_size,
            config.encoder_norm,
        )

    return {
        "g": seeded(generator, seed, "weights/generator"),
        "d": seeded(discriminator, seed, "weights/discriminator"),
        "e": seeded(encoder, seed, "weights/encoder"),
    }
