"""A generator and a discriminator without an encoder. Shapes: B samples, L latent, C × H × W."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganinv.networks.base import NetworkConfig, Networks, seeded_pair


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(NetworkConfig):
    """Sizes of the plain networks."""

    name: str = "plain_networks"
    latent_size: int = 8
    width: int = 4
    max_width: int = 8


class Generator(nn.Module):
    """Code B × L → image. Counts its passes in a buffer, which the average has to follow."""

    passes: Tensor

    def __init__(self, config: Config, resolution: int, image_channels: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.first = nn.Linear(config.latent_size, config.max_width * resolution**2 // 4)
        self.register_buffer("passes", torch.zeros(()))
        self.last = nn.Conv2d(config.max_width, image_channels, 3, padding=1)

    def forward(self, code_BL: Tensor) -> Tensor:
        if self.training:
            self.passes += 1
        half = self.resolution // 2
        x_BCHW = self.first(code_BL).unflatten(1, (-1, half, half))
        image_BCHW: Tensor = self.last(nn.functional.interpolate(x_BCHW.relu(), scale_factor=2))
        return image_BCHW


class Discriminator(nn.Module):
    """Image → adversarial value B: a tensor, and no code."""

    def __init__(self, config: Config, resolution: int, image_channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(image_channels, config.width, 3, stride=2, padding=1)
        self.last = nn.Linear(config.width * resolution**2 // 4, 1)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        x_BCHW = nn.functional.leaky_relu(self.first(image_BCHW), 0.2)
        value_B: Tensor = self.last(x_BCHW.flatten(1)).squeeze(1)
        return value_B


def build(config: Config, *, resolution: int, image_channels: int, seed: int) -> Networks:
    return seeded_pair(
        lambda: Generator(config, resolution, image_channels),
        lambda: Discriminator(config, resolution, image_channels),
        seed,
    )
