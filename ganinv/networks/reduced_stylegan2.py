"""The "partially reduced StyleGAN2" of the DLSGAN paper (§4), in numbers of the author's 2021 code.

Differences from StyleGAN2: no noise, no minibatch standard deviation, no normalisation of the code
(so the length of a code matters), and equalised learning rate with gain 2 in every layer, with or
without a leaky ReLU after it. Demodulation is replaced by a division by the output's own spatial
standard deviation, also for images. The defaults are the author's networks for 128².

The author's mapper learns 0.01 times as fast, with a separate optimizer; here `mapper_rate` does
this (`styled.py` explains the difference). The author's framework pads strided convolutions
unevenly; here the padding is even, as in StyleGAN2.

Shapes: B samples, I channels in, O channels out, H × W pixels.
"""

from dataclasses import dataclass

from torch import Tensor

from ganinv.networks.base import PAIR, Kinds, Networks
from ganinv.networks.layers import in_float32
from ganinv.networks.styled import StyledConfig, Traits, build_styled
from ganinv.sizes import Resolution


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(StyledConfig):
    """Sizes of the reduced StyleGAN2."""

    name: str = "reduced_stylegan2"


def unit_spread(y_BOHW: Tensor, modulation_BI: Tensor, kernel_OIHW: Tensor) -> Tensor:
    """Divide each sample's channels by their standard deviation over the pixels, keeping the mean.

    The small constant is not in the author's code: it keeps a channel without contrast finite.
    """
    del modulation_BI, kernel_OIHW
    variance_BO11 = in_float32(_variance, y_BOHW)
    return (variance_BO11 + 1e-8).rsqrt()


def _variance(y_BOHW: Tensor) -> Tensor:
    return y_BOHW.var((2, 3), correction=0, keepdim=True)


TRAITS = Traits(
    gain=2.0,
    linear_gain=2.0,
    normalise_code=False,
    normalise=unit_spread,
    normalise_image=unit_spread,
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
