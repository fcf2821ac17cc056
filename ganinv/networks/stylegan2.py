"""StyleGAN2: style-based generator with demodulated weights, residual discriminator.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), arXiv 1912.04958.
Default widths are those of its configuration E at 256²; `width: 128` is F. `styled.py` has the
parts that both style-based families share, and explains what an invertible GAN leaves out (noise,
minibatch standard deviation).

The mapper scales the code to unit length, so the image does not depend on the length of z ∘ s, and
only the direction of a code can be recovered. `reduced_stylegan2` keeps the length.

Shapes: B samples, I channels in, O channels out, H × W pixels.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.networks.base import PAIR, Kinds, Networks
from ganinv.networks.layers import in_float32
from ganinv.networks.styled import StyledConfig, Traits, build_styled
from ganinv.sizes import Resolution

GAIN = math.sqrt(2)  # a leaky ReLU about halves the mean square


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(StyledConfig):
    """Sizes of StyleGAN2."""

    name: str = "stylegan2"


def demodulate(y_BOHW: Tensor, modulation_BI: Tensor, kernel_OIHW: Tensor) -> Tensor:
    """Divide by the expected standard deviation (eq. 3), applied to the output (it is linear).

    ‖modulation ∘ kernel‖² sums over I and the taps; all taps have the same modulation. The gain for
    the leaky ReLU that follows is applied here, because normalisation cancels the kernel's gain.
    """
    del y_BOHW
    energy_IO = kernel_OIHW.square().sum((2, 3)).T
    variance_BO = in_float32(torch.matmul, modulation_BI.square(), energy_IO)
    return (GAIN * (variance_BO + 1e-8).rsqrt())[:, :, None, None]


def unchanged(y_BOHW: Tensor, modulation_BI: Tensor, kernel_OIHW: Tensor) -> None:
    """Images are not demodulated."""
    del y_BOHW, modulation_BI, kernel_OIHW


TRAITS = Traits(
    gain=GAIN,
    linear_gain=1.0,
    normalise_code=True,
    normalise=demodulate,
    normalise_image=unchanged,
)


def build(
    config: Config, *, resolution: Resolution, image_channels: int, seed: int, kinds: Kinds = PAIR
) -> Networks:
    """The networks asked for at their initial weights, a function of `seed`.

    Raises `ConfigError` for an invalid resolution or feature block, or an unknown kind.
    """
    return build_styled(
        config,
        TRAITS,
        resolution=resolution,
        image_channels=image_channels,
        seed=seed,
        kinds=kinds,
    )
