"""A trained invertible GAN: codes to images and images to codes.

Generated images are always G(z ∘ s) and recovered ones G(E(x) ∘ s) (DLSGAN §3), with the averaged
weights of both networks. Shapes: B samples, L latent elements, C × H × W image in [−1, 1].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganinv.draws import standard_normal


@dataclass(frozen=True, kw_only=True)
class InvertibleGan:
    """G, E (inside D) and the scale s_L, on one device."""

    generator: nn.Module
    discriminator: nn.Module
    scale_L: Tensor
    batch_size: int = 64  # images that go through a network at once

    @property
    def latent_size(self) -> int:
        return self.scale_L.numel()

    @property
    def device(self) -> torch.device:
        return self.scale_L.device

    def prior(self, image_numbers: Sequence[int], seed: int) -> Tensor:
        """Codes z ~ N(0, I), B × L; image number i of a seed is always the same."""
        codes = standard_normal(seed, "prior", image_numbers, self.latent_size)
        return codes.to(self.device)

    def sample(self, count: int, seed: int) -> Tensor:
        """`count` generated images."""
        return self.decode(self.prior(range(count), seed))

    def encode(self, image_BCHW: Tensor) -> Tensor:
        """E(x): the code of each image, B × L, not yet scaled."""
        return self._batched(lambda x: self.discriminator(x).latent_BL, image_BCHW)

    def decode(self, code_BL: Tensor) -> Tensor:
        """G(z ∘ s), clamped to [−1, 1]."""
        return self._batched(lambda z: self.generator(z * self.scale_L).clamp(-1, 1), code_BL)

    def reconstruct(self, image_BCHW: Tensor) -> Tensor:
        """G(E(x) ∘ s)."""
        return self.decode(self.encode(image_BCHW))

    @torch.no_grad()
    def _batched(self, function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        batches = inputs.to(self.device).split(self.batch_size)
        return torch.cat([function(batch) for batch in batches])


def to_signed(image_BCHW: Tensor) -> Tensor:
    """uint8 → float32 in [−1, 1] (PVDGAN §3)."""
    return image_BCHW.float() / 127.5 - 1


def to_bytes(image_BCHW: Tensor) -> Tensor:
    """[−1, 1] → uint8, rounded; what lies outside is clamped."""
    return ((image_BCHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
