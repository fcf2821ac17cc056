"""The interface of all network families. Shapes: B samples, L latent elements, F features.

A family is a module with a `Config` (a `NetworkConfig` whose `name` is the module's) and
`build(config, *, resolution, image_channels, seed) -> Networks`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganinv.draws import torch_seed
from ganinv.errors import ConfigError
from ganinv.networks.recomputing import run

COARSEST = 4  # pixels per side of the generator's first and the discriminator's last feature map


class Judgement(NamedTuple):
    """Output of the integrated discriminator D* (PVDGAN §2): D, latent encoder and feature encoder.

    `adversarial_B`: higher means more real. `latent_BL`: predicted latent code.
    `feature_BF`: intermediate layer, flattened.
    """

    adversarial_B: Tensor
    latent_BL: Tensor
    feature_BF: Tensor


# Networks by their names in the methods. The families here give `g`, a generator (what the latent
# lets enter, B × L → image in about [−1, 1]), and `d`, an integrated discriminator.
Networks = dict[str, nn.Module]


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """Options of all families; channels double from fine to coarse, up to a limit."""

    name: str  # the family's module
    latent_size: int
    width: int = 64  # channels at the full resolution
    max_width: int = 512  # channels at coarse resolutions
    # Discriminator block whose output is the feature encoder, counted from the last: −2 is the
    # second last (PVDGAN paper).
    feature_block: int = -2

    def __post_init__(self) -> None:
        for key in ("latent_size", "width", "max_width"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be at least 1")
        if self.feature_block >= 0:
            raise ConfigError(
                f"feature_block = {self.feature_block}: blocks are counted from the last, "
                "so give a negative number: -1 (last) or -2 (second last)"
            )

    def widths(self, resolution: int) -> list[int]:
        """Channels at `resolution` pixels a side, at half of it, and so on down to 4.

        Raises `ConfigError` if the resolution cannot be halved down to 4, or if the discriminator,
        which has one block per halving, lacks the feature block.
        """
        levels = resolution.bit_length() - COARSEST.bit_length()
        if levels < 1 or resolution != COARSEST << levels:
            raise ConfigError(
                f"resolution = {resolution}: must be a power of two of at least {2 * COARSEST}"
            )
        if -self.feature_block > levels:
            raise ConfigError(
                f"feature_block = {self.feature_block}: a discriminator for {resolution} pixels "
                f"has {levels} block(s); choose one of {', '.join(map(str, range(-levels, 0)))}"
            )
        return [min(self.width << level, self.max_width) for level in range(levels + 1)]


def seeded_pair(
    generator: Callable[[], nn.Module], discriminator: Callable[[], nn.Module], seed: int
) -> Networks:
    """Both networks at their initial weights, a function of `seed`."""
    return {
        "g": seeded(generator, seed, "weights/generator"),
        "d": seeded(discriminator, seed, "weights/discriminator"),
    }


def seeded(build: Callable[[], nn.Module], seed: int, purpose: str) -> nn.Module:
    """A network whose initial weights depend only on (seed, purpose)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, purpose))
        return build()


def feature_pixels(feature_block: int) -> int:
    """Pixels of a discriminator block's output; the last output has `COARSEST` pixels per side."""
    return (COARSEST << (-feature_block - 1)) ** 2


def through_blocks(
    blocks: nn.ModuleList, x_BCHW: Tensor, feature_block: int
) -> tuple[Tensor, Tensor]:
    """The last output of a discriminator's blocks, and that of `feature_block`, flattened."""
    outputs: list[Tensor] = []
    for block in blocks:
        x_BCHW = run(block, x_BCHW)
        outputs.append(x_BCHW)
    return x_BCHW, outputs[feature_block].flatten(1)
