"""Codes z ~ N(0, I) that enter the generator as z ∘ s (DLSGAN §3). B samples, L latent elements.

The scale s changes during training (`ganinv.latent_scale`) and is stored as the tensor `scale_L`.
"""

from dataclasses import dataclass

from torch import Tensor

from ganinv.latents.base import LatentTensors
from ganinv.latents.normal import StandardNormal

SCALE = "scale_L"  # name of s among the tensors


@dataclass(frozen=True, slots=True)
class ScaledNormal(StandardNormal):
    """Implements `latents.base.Latent` for z ∘ s."""

    @property
    def entering(self) -> str:
        return "scaled code, z ∘ s"

    def to_generator(self, code_BL: Tensor, tensors: LatentTensors) -> Tensor:
        return code_BL * tensors[SCALE]

    def to_code(self, entering_BL: Tensor, tensors: LatentTensors) -> Tensor:
        return entering_BL / tensors[SCALE]  # s is above 0: see latent_scale

    def error(self, code_BL: Tensor, other_BL: Tensor, tensors: LatentTensors) -> Tensor:
        """L_enc: mean((z − z′)² ∘ s²) over the elements (DLSGAN Alg. 1 l. 4)."""
        error_BL = (code_BL.double() - other_BL.double()) * tensors[SCALE].double()
        return error_BL.square().mean(1)

    def spread(self, tensors: LatentTensors) -> Tensor:
        return tensors[SCALE]
