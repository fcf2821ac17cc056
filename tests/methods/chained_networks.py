"""An encoder, a decoder, a discriminator and a fixed feature network.

Shapes: B samples, L latent elements, F features, C × H × W image.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from ganinv.networks.base import NetworkConfig, Networks, seeded


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(NetworkConfig):
    """Sizes of the four networks."""

    name: str = "chained_networks"
    latent_size: int = 8
    width: int = 4
    max_width: int = 8


class Down(nn.Module):
    """Image → B × `size`, by one strided convolution and one linear map."""

    def __init__(self, config: Config, resolution: int, image_channels: int, size: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(image_channels, config.width, 3, stride=2, padding=1)
        self.last = nn.Linear(config.width * resolution**2 // 4, size)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        out_BF: Tensor = self.last(self.first(image_BCHW).tanh().flatten(1))
        return out_BF


class Decoder(nn.Module):
    """Code B × L → image."""

    def __init__(self, config: Config, resolution: int, image_channels: int) -> None:
        super().__init__()
        self.shape = (image_channels, resolution, resolution)
        self.first = nn.Linear(config.latent_size, config.max_width)
        self.last = nn.Linear(config.max_width, image_channels * resolution**2)

    def forward(self, code_BL: Tensor) -> Tensor:
        image_BCHW: Tensor = self.last(self.first(code_BL).tanh()).unflatten(1, self.shape)
        return image_BCHW


def build(config: Config, *, resolution: int, image_channels: int, seed: int) -> Networks:
    """`p` is the same for every seed, like a network that was trained elsewhere."""

    def down(size: int) -> Down:
        return Down(config, resolution, image_channels, size)

    return {
        "e": seeded(lambda: down(2 * config.latent_size), seed, "weights/encoder"),
        "g": seeded(lambda: Decoder(config, resolution, image_channels), seed, "weights/decoder"),
        "d": seeded(lambda: down(1), seed, "weights/discriminator"),
        "p": seeded(lambda: down(16), 0, "weights/features"),
    }
