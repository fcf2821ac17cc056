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
from ganinv.latents.labelled import Labels, checked_classes, label_columns
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
    # The class that `encode` takes all images to have, of a conditional model; None: that which the
    # model's classifier finds.
    label: str | None = None

    def __post_init__(self) -> None:
        whole_number(self.batch_size, "batch_size", 1, 2**31)
        if self.label is not None:
            label_columns(self.classes, self.label, 1)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of a conditional model in the order of its labels; empty for all others."""
        return self.codec.classes

    @property
    def latent_size(self) -> int:
        """The length of a code; of a conditional model with its label, one element a class."""
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

    def prior(self, image_numbers: Sequence[int], seed: int, label: Labels | None = None) -> Tensor:
        """Codes drawn from the prior, B × L; seed and image number determine the code.

        `label`: the class of all codes of a conditional model, or a list with that of each; None:
        classes are drawn, each as often as in the training data. The code but for its label is the
        same with every label. Raises `ConfigError` for a negative or fractional number, no number
        at all, or a label that the model does not have.
        """
        checked, numbers = whole_number(seed, "seed", 0, MANY), _image_numbers(image_numbers)
        code_BL = self.codec.prior(checked, "prior", numbers).to(self.device)
        return code_BL if label is None else self.relabelled(code_BL, label)

    def sample(self, count: int, seed: int, label: Labels | None = None) -> Tensor:
        """`count` generated images, B × C × H × W; `label` as for `prior`.

        Raises `ConfigError` for an invalid number or label.
        """
        return self.decode(self.prior(range(whole_number(count, "count", 1, 2**31)), seed, label))

    def relabelled(self, code_BL: Floats, label: Labels) -> Tensor:
        """The codes with another label: one for all of them, or a list with one for each.

        Raises `DataError` for codes of another model, `ConfigError` for a label that the model does
        not have.
        """
        checked_BL = self._checked_codes(code_BL)
        label_BK = label_columns(self.classes, label, len(checked_BL))
        return torch.cat([checked_BL[:, : -label_BK.shape[1]], label_BK.to(checked_BL)], 1)

    def labels_of(self, code_BL: Floats) -> list[str]:
        """The class of each code.

        Raises `DataError` for codes of another model, `ConfigError` if it is not conditional.
        """
        checked_BL, count = self._checked_codes(code_BL), len(checked_classes(self.classes))
        return [self.classes[i] for i in checked_BL[:, -count:].argmax(1).tolist()]

    def encode(self, images: Images, label: Labels | None = None) -> Tensor:
        """E(x): the code of each image, B × L, ready for `decode`; without gradients.

        `images`: floats B × C × H × W in [−1, 1] (a tensor, a NumPy array or a list of either), a
        Pillow image or a list of Pillow images. Pillow images are cropped to the largest central
        part that has the proportions of the model's images, and resized; or stretched or padded,
        if the model's data were. Faces are not searched: `ganinv.alignment.aligning.align` does.
        `label`: the known class of all images, or a list with that of each, for a conditional
        model; None: `self.label` or, if that is None, what its classifier finds.
        Raises `DataError` for other input, and `ConfigError` if the model has no encoder, or lacks
        the label. For gradients, call `codec.encode` with a tensor on the model's device.
        """
        if not self.encodes:
            raise ConfigError(
                "encode: this model's method has no encoder; train a method with an encoder, such "
                "as dlsgan or pvdgan"
            )
        code_BL = self._batched(self.codec.encode, self.to_tensor(images))
        known = self.label if label is None else label
        return code_BL if known is None else self.relabelled(code_BL, known)

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

    def reconstruct(self, images: Images, label: Labels | None = None) -> Tensor:
        """`decode(encode(images))`; takes the same images and labels as `encode`."""
        return self.decode(self.encode(images, label))

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
