"""Where the points of random codes lie in a space, and how probable a point is.

Mean and spread are measured on codes that the latent draws, so that they hold for every latent and
every mapper. Shapes: B samples; a point of shape B × ….
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ganinv.codec import Codec
from ganinv.latents.spaces import Space

DRAWN = 4096  # codes: the mean is known to 1.6 % of the spread, the spread to 1.1 %
AT_ONCE = 256
# A latent scale switches elements off: their spread is almost 0. Deviations there count as if the
# spread were this share of the root mean square of all spreads, so that the term stays finite.
LEAST_SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class Prior:
    """Mean and standard deviation of each element of a point, of the shape 1 × …"""

    mean: Tensor
    spread: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, codec: Codec, space: Space) -> Self:
        sums, squares = torch.zeros(()), torch.zeros(())
        for first in range(0, DRAWN, AT_ONCE):
            code_BL = codec.latent.draw(0, "inversion/prior", range(first, first + AT_ONCE))
            point = space.of_code(code_BL.to(codec.device, codec.dtype)).double().cpu()
            sums = sums + point.sum(0, keepdim=True)
            squares = squares + point.square().sum(0, keepdim=True)
        mean = sums / DRAWN
        spread = (squares / DRAWN - mean.square()).clamp(min=0).sqrt()
        least = LEAST_SHARE * spread.square().mean().sqrt()
        spread = spread.clamp(min=max(float(least), torch.finfo(torch.float32).tiny))
        place = codec.device, codec.dtype
        return cls(mean=mean.to(*place), spread=spread.to(*place))

    def surprise(self, point: Tensor) -> Tensor:
        """Mean over the elements of ((point − mean) / spread)², B: about 1 for random codes.

        For a Gaussian code this is −2 ln p(code) / L, up to a constant.
        """
        return ((point - self.mean) / self.spread).square().flatten(1).mean(1)


def central_code_space(codec: Codec) -> str:
    """The name of the space nearest to the image whose points are codes: u of DLSGAN, y of LIA."""
    return [name for name, space in codec.spaces.items() if space.to_code is not None][-1]


def mean_point(codec: Codec, name: str) -> Tensor:
    """The mean of the points of random codes, 1 × …; spaces whose points are codes share one mean.

    LIA (§3.3) starts z from φ(ȳ), so that optimisation in z and in y begins with the same image.
    """
    space, central = codec.spaces[name], codec.spaces[central_code_space(codec)]
    if space.to_code is None or central.to_code is None:
        return Prior.of(codec, space).mean
    with torch.no_grad():
        return space.of_code(central.to_code(Prior.of(codec, central).mean))
