"""A trained invertible GAN: codes to images and images to codes, with the averaged weights.

Shapes: B samples, L latent elements, C × H × W image in [−1, 1].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ganinv.codec import Codec
from ganinv.errors import ConfigError, DataError
from ganinv.pictures import Images, to_images


@dataclass(frozen=True, kw_only=True)
class InvertibleGan:
    """A method's codec on one device; adds batches, input checks and Pillow images."""

    codec: Codec
    batch_size: int = 64  # images that go through a network at once

    @property
    def latent_size(self) -> int:
        return self.codec.latent.size

    @property
    def device(self) -> torch.device:
        return self.codec.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return self.codec.dtype

    @property
    def encodes(self) -> bool:
        """Whether the model has an encoder; without one `encode` raises `ConfigError`."""
        return self.codec.encodes

    @property
    def spread(self) -> Tensor:
        """The scale of each latent element at the generator's input: s of DLSGAN and PVDGAN, L."""
        return self.codec.latent.spread(self.codec.tensors).to(self.device)

    @cached_property
    def image_shape(self) -> tuple[int, int, int]:
        """C × H × W of the images that the generator makes, in pixels."""
        with torch.no_grad():
            image_BCHW = self.codec.decode(self.prior(range(1), seed=0))
        channels, height, width = image_BCHW.shape[1:]
        return channels, height, width

    def to(self, device: torch.device | str) -> "InvertibleGan":
        """The model on another device. The networks are moved, not copied."""
        return replace(self, codec=self.codec.to(device))

    def prior(self, image_numbers: Sequence[int], seed: int) -> Tensor:
        """Codes drawn from the prior, B × L; seed and image number determine the code."""
        return self.codec.latent.draw(seed, "prior", image_numbers).to(self.device)

    def sample(self, count: int, seed: int) -> Tensor:
        """`count` generated images, B × C × H × W. Raises `ConfigError` for an invalid number."""
        if count < 1 or not 0 <= seed < 2**63:
            raise ConfigError(
                f"sample({count}, {seed}): ask for at least 1 image, with a seed of at least 0 and "
                "below 2^63"
            )
        return self.decode(self.prior(range(count), seed))

    def encode(self, images: Images) -> Tensor:
        """E(x): the code of each image, B × L, ready for `decode`.

        `images`: floats B × C × H × W in [−1, 1], a Pillow image or a list of Pillow images. Pillow
        images are cropped to their central square and resized. Raises `DataError` for other input,
        and `ConfigError` if the model has no encoder.
        """
        if not self.encodes:
            raise ConfigError(
                "encode: this model's method has no encoder; train a method with an encoder, such "
                "as dlsgan or pvdgan"
            )
        channels, resolution, _ = self.image_shape
        image_BCHW = to_images(images, channels=channels, resolution=resolution)
        return self._batched(self.codec.encode, image_BCHW)

    def decode(self, code_BL: Tensor) -> Tensor:
        """The image of each code, clamped to [−1, 1]. Raises `DataError` for invalid codes."""
        self._check_codes(code_BL)
        return self._batched(lambda code: self.codec.decode(code).clamp(-1, 1), code_BL)

    def reconstruct(self, images: Images) -> Tensor:
        """`decode(encode(images))`; takes the same images as `encode`."""
        return self.decode(self.encode(images))

    @torch.no_grad()
    def _batched(self, function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        batches = inputs.to(self.device, self.dtype).split(self.batch_size)
        return torch.cat([function(batch) for batch in batches])

    def _check_codes(self, code_BL: Tensor) -> None:
        shape = tuple(code_BL.shape)
        if len(shape) != 2 or shape[1] != self.latent_size or not shape[0]:
            raise DataError(
                f"codes of shape {shape}: this model takes B × {self.latent_size}; pass a single "
                "code as code[None], and only codes of this model"
            )
        if not code_BL.is_floating_point() or not code_BL.isfinite().all():
            raise DataError(
                f"codes of type {code_BL.dtype}: must be finite floats, as encode returns; "
                "find the operation that gave non-finite numbers or integers"
            )


def best_device() -> torch.device:
    """A GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
