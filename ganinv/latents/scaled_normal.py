"""Codes z ~ N(0, I) that enter the generator as z ∘ s (DLSGAN §3). B samples, L latent elements.

The scale s changes during training (`ganinv.latent_scale`) and is stored as the tensor `scale_L`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ganinv.draws import standard_normal
from ganinv.latents.base import LatentTensors

SCALE = "scale_L"  # name of s among the tensors


@dataclass(frozen=True, slots=True)
class ScaledNormal:
    """Implements `latents.base.Latent` for z ∘ s."""

    size: int

    def draw(self, seed: int, purpose: str, image_numbers: Sequence[int]) -> Tensor:
        return standard_normal(seed, purpose, image_numbers, self.size)

    def to_generator(self, code_BL: Tensor, tensors: LatentTensors) -> Tensor:
        return code_BL * tensors[SCALE]

    def error(self, code_BL: Tensor, other_BL: Tensor, tensors: LatentTensors) -> Tensor:
        """L_enc: mean((z − z′)² ∘ s²) over the elements (DLSGAN Alg. 1 l. 4)."""
        error_BL = (code_BL.double() - other_BL.double()) * tensors[SCALE].double()
        return error_BL.square().mean(1)

    def spread(self, tensors: LatentTensors) -> Tensor:
        return tensors[SCALE]
