"""Networks that any family can build on the layers of its discriminator below the heads.

    image_discriminator   VAE/GAN's D: an adversarial value and a feature, no code
    encoder               q(z|x) of VAE/GAN and ALI: μ and ln σ
    pair_discriminator    ALI's D(x, z), Dumoulin et al. (2017), table 5: an x tower, a z tower of
                          two layers and a joint network of three

The sizes of the pair's dense layers are those of ALI's table for CelebA at `max_width: 512`: 1024
in the z tower, 2048 in the joint network. Everything but the trunk computes in float32.

Shapes: B samples, L latent elements, F features, C × H × W image.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganinv.networks.base import Judgement, Makers, NetworkConfig
from ganinv.networks.layers import EqualisedLinear, in_float32, leaky_relu


class Trunk(nn.Module, ABC):
    """The layers of a family's discriminator below its heads.

    `size`: number of features that heads see. `feature_block`, `feature_pixels`: of the feature.
    """

    size: int
    feature_block: int
    feature_pixels: int

    @abstractmethod
    def through(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """What heads see, B × `size`, and the output of the feature block, flattened."""


def makers_on(
    trunk: Callable[[], Trunk],
    config: NetworkConfig,
    *,
    gain: float = 1.0,
    linear_gain: float = 1.0,
) -> Makers:
    """Makers of the networks here. Gains of weights: before a leaky ReLU, and all others."""
    latent_size, width = config.latent_size, config.max_width
    return {
        "image_discriminator": lambda: ImageDiscriminator(trunk(), linear_gain),
        "encoder": lambda: Encoder(trunk(), latent_size, linear_gain),
        "pair_discriminator": lambda: PairDiscriminator(
            trunk(), latent_size, width, gain, linear_gain
        ),
    }


class OnTrunk(nn.Module):
    """A network on a trunk."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    @property
    def feature_block(self) -> int:
        return self.trunk.feature_block

    @property
    def feature_pixels(self) -> int:
        return self.trunk.feature_pixels


class ImageDiscriminator(OnTrunk):
    """Image → `Judgement` without a code."""

    piecewise_linear = True

    def __init__(self, trunk: Trunk, linear_gain: float) -> None:
        super().__init__(trunk)
        self.adversarial = EqualisedLinear(trunk.size, 1, gain=linear_gain)

    def forward(self, image_BCHW: Tensor) -> Judgement:
        flat_BF, feature_BF = self.trunk.through(image_BCHW)
        return _without_code(in_float32(self.adversarial, flat_BF), feature_BF)


class Encoder(OnTrunk):
    """Image → B × 2L: μ, then ln σ, of a code's posterior N(μ, σ²). σ begins at 1."""

    def __init__(self, trunk: Trunk, latent_size: int, linear_gain: float) -> None:
        super().__init__(trunk)
        self.mean = EqualisedLinear(trunk.size, latent_size, gain=linear_gain)
        self.log_deviation = EqualisedLinear(trunk.size, latent_size, gain=linear_gain)
        nn.init.zeros_(self.log_deviation.weight)  # else some families would begin at e⁵⁰

    def forward(self, image_BCHW: Tensor) -> Tensor:
        flat_BF, _ = self.trunk.through(image_BCHW)
        heads = (self.mean, self.log_deviation)
        return torch.cat([in_float32(head, flat_BF) for head in heads], 1)


class PairDiscriminator(OnTrunk):
    """(Image, code) → `Judgement` without a code; piecewise linear in image and code together."""

    piecewise_linear = True

    def __init__(
        self, trunk: Trunk, latent_size: int, width: int, gain: float, linear_gain: float
    ) -> None:
        super().__init__(trunk)
        tower, joint = 2 * width, 4 * width
        self.tower = _dense((latent_size, tower, tower), gain)
        self.joint = _dense((trunk.size + tower, joint, joint), gain)
        self.adversarial = EqualisedLinear(joint, 1, gain=linear_gain)

    def forward(self, image_BCHW: Tensor, code_BL: Tensor) -> Judgement:
        flat_BF, feature_BF = self.trunk.through(image_BCHW)
        return _without_code(in_float32(self.judge, flat_BF, code_BL), feature_BF)

    def judge(self, flat_BF: Tensor, code_BL: Tensor) -> Tensor:
        """What the x tower gives, and a code → adversarial value, B × 1."""
        code_BF = code_BL
        for layer in self.tower:
            code_BF = leaky_relu(layer(code_BF))
        x_BF = torch.cat([flat_BF, code_BF], 1)
        for layer in self.joint:
            x_BF = leaky_relu(layer(x_BF))
        value_B1: Tensor = self.adversarial(x_BF)
        return value_B1


def _dense(sizes: tuple[int, ...], gain: float) -> nn.ModuleList:
    return nn.ModuleList(
        EqualisedLinear(size_in, size_out, gain=gain) for size_in, size_out in pairwise(sizes)
    )


def _without_code(value_B1: Tensor, feature_BF: Tensor) -> Judgement:
    return Judgement(value_B1.squeeze(1), value_B1[:, :0], feature_BF)
