"""A trained invertible GAN: codes to images and images to codes.

Generated images are always G(z ∘ s) and recovered ones G(E(x) ∘ s) (DLSGAN §3), with the averaged
weights of both networks. Shapes: B samples, L latent elements, C × H × W image in [−1, 1].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from ganinv.draws import standard_normal
from ganinv.errors import ConfigError, DataError
from ganinv.pictures import Images, to_bytes, to_images, to_signed

__all__ = ["InvertibleGan", "best_device", "to_bytes", "to_signed"]


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

    @cached_property
    def image_shape(self) -> tuple[int, int, int]:
        """C × H × W of its images, in pixels, as the generator makes them."""
        with torch.no_grad():
            channels, height, width = self.generator(torch.zeros_like(self.scale_L)[None]).shape[1:]
        return channels, height, width

    def to(self, device: torch.device | str) -> "InvertibleGan":
        """The model on another device, where its networks are moved."""
        return replace(
            self,
            generator=self.generator.to(device),
            discriminator=self.discriminator.to(device),
            scale_L=self.scale_L.to(device),
        )

    def prior(self, image_numbers: Sequence[int], seed: int) -> Tensor:
        """Codes z ~ N(0, I), B × L; image number i of a seed is always the same."""
        codes = standard_normal(seed, "prior", image_numbers, self.latent_size)
        return codes.to(self.device)

    def sample(self, count: int, seed: int) -> Tensor:
        """`count` generated images, B × C × H × W. Raises `ConfigError` for numbers too small."""
        if count < 1 or not 0 <= seed < 2**63:
            raise ConfigError(
                f"sample({count}, {seed}): give at least 1 image, and a seed of at least 0 below "
                "2^63"
            )
        return self.decode(self.prior(range(count), seed))

    def encode(self, images: Images) -> Tensor:
        """E(x): the code of each image, B × L, not yet scaled.

        Takes floats B × C × H × W in [−1, 1], a Pillow image or a list of them, which are cropped
        to their central square and resized. Raises `DataError` for anything else.
        """
        channels, resolution, _ = self.image_shape
        image_BCHW = to_images(images, channels=channels, resolution=resolution)
        return self._batched(lambda x: self.discriminator(x).latent_BL, image_BCHW)

    def decode(self, code_BL: Tensor) -> Tensor:
        """G(z ∘ s), clamped to [−1, 1]. Raises `DataError` for what cannot be codes."""
        self._check_codes(code_BL)
        return self._batched(lambda z: self.generator(z * self.scale_L).clamp(-1, 1), code_BL)

    def reconstruct(self, images: Images) -> Tensor:
        """G(E(x) ∘ s), of whatever `encode` takes."""
        return self.decode(self.encode(images))

    @torch.no_grad()
    def _batched(self, function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        batches = inputs.to(self.scale_L).split(self.batch_size)
        return torch.cat([function(batch) for batch in batches])

    def _check_codes(self, code_BL: Tensor) -> None:
        shape = tuple(code_BL.shape)
        if len(shape) != 2 or shape[1] != self.latent_size or not shape[0]:
            raise DataError(
                f"codes of shape {shape}: this model takes B × {self.latent_size}; one code is "
                "code[None], and codes of another model have no meaning here"
            )
        if not code_BL.is_floating_point() or not code_BL.isfinite().all():
            raise DataError(
                f"codes of type {code_BL.dtype}: must be finite floats, as encode gives them; "
                "find out where they stopped to be"
            )


def best_device() -> torch.device:
    """A GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
