"""Codes z ~ N(0, I) that enter the generator as they are. Shapes: B samples, L latent elements."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ganinv.draws import standard_normal
from ganinv.latents.base import LatentTensors

LEAST_SINE = 1e-6  # of the angle between two codes, for an arc from one to the other


@dataclass(frozen=True, slots=True)
class StandardNormal:
    """Implements `latents.base.Latent` for z ~ N(0, I)."""

    size: int

    @property
    def classes(self) -> tuple[str, ...]:
        return ()

    def prior(self, seed: int, purpose: str, image_numbers: Sequence[int]) -> Tensor:
        return self.draw(seed, purpose, image_numbers)

    def draw(self, seed: int, purpose: str, image_numbers: Sequence[int]) -> Tensor:
        return standard_normal(seed, purpose, image_numbers, self.size)

    @property
    def entering(self) -> str:
        return ""

    def to_generator(self, code_BL: Tensor, tensors: LatentTensors) -> Tensor:
        del tensors
        return code_BL

    def to_code(self, entering_BL: Tensor, tensors: LatentTensors) -> Tensor:
        del tensors
        return entering_BL

    def interpolate(self, code_BL: Tensor, other_BL: Tensor, share_B: Tensor) -> Tensor:
        """On an arc, on which codes stay as long as those of the prior.

        T. White, "Sampling Generative Networks" (2016). Codes of one direction, or of opposite
        ones, have a straight way.
        """
        first_BL, second_BL = code_BL.double(), other_BL.double()
        share_B1 = share_B.double()[:, None]
        cosine_B1 = F.cosine_similarity(first_BL, second_BL)[:, None].clamp(-1, 1)
        angle_B1 = cosine_B1.arccos()
        weights = ((1 - share_B1) * angle_B1).sin(), (share_B1 * angle_B1).sin()
        arc_BL = weights[0] * first_BL + weights[1] * second_BL
        sine_B1 = angle_B1.sin()
        straight_BL = torch.lerp(first_BL, second_BL, share_B1)
        return torch.where(
            sine_B1 > LEAST_SINE, arc_BL / sine_B1.clamp(min=LEAST_SINE), straight_BL
        )

    def error(self, code_BL: Tensor, other_BL: Tensor, tensors: LatentTensors) -> Tensor:
        """mean((z − z′)²) over the elements."""
        del tensors
        return (code_BL.double() - other_BL.double()).square().mean(1)

    def spread(self, tensors: LatentTensors) -> Tensor:
        del tensors
        return torch.ones(self.size, dtype=torch.float32, device="cpu")
