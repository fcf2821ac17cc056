"""A method's trained networks as a codec: codes to images, images to codes, images to features.

Evaluation, the library, exports and pages use a codec and know nothing of its method. Shapes: B
samples, L latent elements, F features, C × H × W image in about [−1, 1].
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor, nn

from ganinv.latents.base import Latent
from ganinv.latents.spaces import Space, code_space


@dataclass(frozen=True, kw_only=True)
class Codec:
    """Base of all codecs; a method defines `decode`, and `encode` and `features` if it has them.

    `networks`: the networks used after training, by their names in the method, with averaged
    weights where averages are kept. `tensors`: tensors that the latent needs beside the code.
    """

    latent: Latent
    networks: Mapping[str, nn.Module]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def encodes(self) -> bool:
        """Whether the method recovers codes from images."""
        return type(self).encode is not Codec.encode

    @property
    def feature_source(self) -> str | None:
        """The network that gives `features`, in words for a record; None if the method has none."""
        return None

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of a conditional model, whose codes end with a label among them
        (`ganinv.latents.labelled`); empty for all other models.
        """
        return self.latent.classes

    def prior(self, seed: int, purpose: str, image_numbers: Sequence[int]) -> Tensor:
        """Codes of generated images, B × L; on the model's device or the CPU.

        The latent's prior, unless codes that `decode` takes are another quantity.
        """
        return self.latent.prior(seed, purpose, image_numbers)

    def decode(self, code_BL: Tensor) -> Tensor:
        """The image of each code, B × C × H × W."""
        raise NotImplementedError

    def encode(self, image_BCHW: Tensor) -> Tensor:
        """The code of each image, B × L; only where `encodes`."""
        raise NotImplementedError

    def features(self, image_BCHW: Tensor) -> Tensor:
        """Features of each image, averaged over pixels, B × F; only where `feature_source`."""
        raise NotImplementedError

    def feature_map(self, image_BCHW: Tensor) -> Tensor:
        """Features of each image with their places, flattened to B × F; only where
        `feature_source`. Differentiable. The default has no places.
        """
        return self.features(image_BCHW)

    @property
    def spaces(self) -> Mapping[str, Space]:
        """The spaces in which images have points, by name, from the code to the image.

        `z` is always the first; a method adds those that lie between code and image.
        """
        return {"z": code_space(self.decode, len(self.classes))}

    @property
    def first_weight(self) -> Tensor | None:
        """The matrix of the layer that what enters the generator meets first, O × L, if any."""
        return None

    def interpolate(self, code_BL: Tensor, other_BL: Tensor, share_B: Tensor) -> Tensor:
        """The codes at a share of the way between two codes of the prior, B × L, float64.

        The latent's way, unless codes that `decode` takes are another quantity.
        """
        return self.latent.interpolate(code_BL, other_BL, share_B)

    def code_error(self, code_BL: Tensor, other_BL: Tensor) -> Tensor:
        """The distance between the codes of each pair, B, float64."""
        return self.latent.error(code_BL, other_BL, self.tensors)

    @property
    def device(self) -> torch.device:
        return self._parameter().device

    @property
    def dtype(self) -> torch.dtype:
        return self._parameter().dtype

    def _parameter(self) -> Tensor:
        return next(p for network in self.networks.values() for p in network.parameters())

    def to(self, device: torch.device | str) -> Self:
        """The codec on another device; networks that lie elsewhere are copied, not moved.

        A module that moves itself would leave this codec's other tensors behind.
        """
        if torch.device(device) == self.device:
            return self
        return replace(
            self,
            networks={name: copy.deepcopy(n).to(device) for name, n in self.networks.items()},
            tensors={name: tensor.to(device) for name, tensor in self.tensors.items()},
        )
