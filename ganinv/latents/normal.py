"""Codes z ~ N(0, I) that enter the generator as they are. Shapes: B samples, L latent elements."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.draws import standard_normal
from ganinv.latents.arcs import arc
from ganinv.latents.base import LatentTensors


@dataclass(frozen=True, slots=True)
class StandardNormal:
    """Implements `latents.base.Latent` for z ~ N(0, I)."""

    size: int

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
        """On an arc, on which codes stay as long as those of the prior."""
        return arc(code_BL.double(), other_BL.double(), share_B.double())

    def error(self, code_BL: Tensor, other_BL: Tensor, tensors: LatentTensors) -> Tensor:
        """mean((z − z′)²) over the elements."""
        del tensors
        return (code_BL.double() - other_BL.double()).square().mean(1)

    def spread(self, tensors: LatentTensors) -> Tensor:
        del tensors
        return torch.ones(self.size, dtype=torch.float32, device="cpu")
