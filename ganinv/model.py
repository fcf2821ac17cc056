"""A trained invertible GAN: codes to images and images to codes, with the averaged weights.

Shapes: B samples, L latent elements, C × H × W image in [−1, 1].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ganinv.alignment.transform import CROP, FACES
from ganinv.codec import Codec
from ganinv.errors import ConfigError, DataError
from ganinv.fitting import Fitting
from ganinv.inputs import Device, Floats, floats, usable_device, whole_number
from ganinv.kinds.kind import Kind
from ganinv.latents.spaces import space_named
from ganinv.pictures import Images, to_images
from ganinv.sizes import Size

MANY = 2**63  # above all seeds and image numbers: `draws.py` needs 64 bits


@dataclass(frozen=True, kw_only=True)
class InvertibleGan:
    """A method's codec on one device; adds batches, input checks and Pillow images."""

    codec: Codec
    batch_size: int = 64  # images that go through a network at once, if they fit the memory
    alignment: str = CROP  # how the photographs of its data became images, see `ganinv.alignment`
    bits: int = 8  # of each channel of its data, 8 or 16

    def __post_init__(self) -> None:
        whole_number(self.batch_size, "batch_size", 1, 2**31)

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
    def _fitting(self) -> Fitting:
        return Fitting(self.batch_size)

    @cached_property
    def image_shape(self) -> tuple[int, int, int]:
        """C × H × W of the images that the generator makes, in pixels."""
        with torch.no_grad():
            image_BCHW = self.codec.decode(self.prior(range(1), seed=0))
        channels, height, width = image_BCHW.shape[1:]
        return channels, height, width

    @property
    def kind(self) -> Kind:
        """What the pixels of its images are."""
        return Kind(channels=self.image_shape[0], bits=self.bits)

    def to(self, device: Device) -> "InvertibleGan":
        """The model on another device; this one stays where it is, and usable.

        Raises `ConfigError` for a device that PyTorch does not know or cannot use here.
        """
        return replace(self, codec=self.codec.to(usable_device(device)))

    def prior(self, image_numbers: Sequence[int], seed: int) -> Tensor:
        """Codes drawn from the prior, B × L; seed and image number determine the code.

        Raises `ConfigError` for a negative or fractional number, or no number at all.
        """
        checked = whole_number(seed, "seed", 0, MANY)
        return self.codec.prior(checked, "prior", _image_numbers(image_numbers)).to(self.device)

    def sample(self, count: int, seed: int) -> Tensor:
        """`count` generated images, B × C × H × W. Raises `ConfigError` for an invalid number."""
        return self.decode(self.prior(range(whole_number(count, "count", 1, 2**31)), seed))

    def encode(self, images: Images) -> Tensor:
        """E(x): the code of each image, B × L, ready for `decode`; without gradients.

        `images`: floats B × C × H × W in [−1, 1] (a tensor, a NumPy array or a list of either), a
        Pillow image or a list of Pillow images. Pillow images are cropped to the largest central
        part that has the proportions of the model's images, and resized; or stretched or padded,
        if the model's data were. Faces are not searched: `ganinv.alignment.aligning.align` does.
        Raises `DataError` for other input, and `ConfigError` if the model has no encoder. For
        gradients, call `codec.encode` with a tensor on the model's device.
        """
        if not self.encodes:
            raise ConfigError(
                "encode: this model's method has no encoder; train a method with an encoder, such "
                "as dlsgan or pvdgan"
            )
        return self._batched(self.codec.encode, self.to_tensor(images))

    def to_tensor(self, images: Images) -> Tensor:
        """The user's images as floats B × C × H × W in [−1, 1], as `encode` takes them."""
        channels, height, width = self.image_shape
        size, shown = Size(width=width, height=height), self.alignment
        alignment = CROP if shown == FACES else shown
        return to_images(images, channels=channels, size=size, alignment=alignment, bits=self.bits)

    def decode(self, code_BL: Floats) -> Tensor:
        """The image of each code, B × C × H × W, clamped to [−1, 1]; without gradients.

        `code_BL`: floats B × L, as a tensor, a NumPy array or a list. Raises `DataError` for other
        input. For gradients, call `codec.decode` with a tensor on the model's device.
        """
        checked_BL = self._checked_codes(code_BL)
        return self._batched(lambda code: self.codec.decode(code).clamp(-1, 1), checked_BL)

    def decode_points(self, space: str, points: Floats) -> Tensor:
        """The image of each point of a space, B × C × H × W, clamped to [−1, 1]; no gradients.

        Raises `ConfigError` for a space that this model does not have, and `DataError` for what is
        not an array of numbers.
        """
        decode = space_named(self.codec.spaces, space).decode
        return self._batched(lambda point: decode(point).clamp(-1, 1), floats(points, "points"))

    def reconstruct(self, images: Images) -> Tensor:
        """`decode(encode(images))`; takes the same images as `encode`."""
        return self.decode(self.encode(images))

    @torch.no_grad()
    def _batched(self, function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        return self._fitting.run(function, inputs.to(self.device, self.dtype))

    def _checked_codes(self, codes: Floats) -> Tensor:
        code_BL = floats(codes, "codes")
        shape = tuple(code_BL.shape)
        if len(shape) != 2 or shape[1] != self.latent_size or not shape[0]:
            raise DataError(
                f"codes of shape {shape}: this model takes B × {self.latent_size}; pass a single "
                "code as code[None], and only codes of this model"
            )
        return floats(code_BL.to(self.dtype), f"codes as {self.dtype}")  # float64 reaches further


def _image_numbers(numbers: Sequence[int]) -> Sequence[int]:
    if not isinstance(numbers, range):
        try:
            numbers = [whole_number(number, "image_numbers", 0, MANY) for number in numbers]
        except TypeError as error:
            raise ConfigError(
                f"image_numbers = {numbers!r}: must be a sequence, such as range(4)"
            ) from error
    if not len(numbers):
        raise ConfigError("image_numbers: name at least one image, for example range(4)")
    for number in (min(numbers), max(numbers)):
        whole_number(number, "image_numbers", 0, MANY)
    return numbers


def best_device() -> torch.device:
    """A GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
