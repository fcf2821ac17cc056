"""What a kind of latent code is. Shapes: B samples, L latent elements."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

# What a latent needs beside the code, by name: stored with a model's weights. Empty for most.
LatentTensors = Mapping[str, Tensor]


class Latent(Protocol):
    """One kind of latent code. Pure: what changes during training comes as `tensors`."""

    @property
    def size(self) -> int:
        """Number of elements of a code, L."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the label with which codes end; empty where they have none."""
        ...

    def prior(self, seed: int, purpose: str, image_numbers: Sequence[int]) -> Tensor:
        """What `draw` gives, with labels where codes have them, B × L, float32."""
        ...

    def draw(self, seed: int, purpose: str, image_numbers: Sequence[int]) -> Tensor:
        """Codes of the prior, B × L, float32, a function of these arguments alone."""
        ...

    @property
    def entering(self) -> str:
        """What enters the generator, in words; empty where codes enter as they are."""
        ...

    def to_generator(self, code_BL: Tensor, tensors: LatentTensors) -> Tensor:
        """What enters the generator."""
        ...

    def to_code(self, entering_BL: Tensor, tensors: LatentTensors) -> Tensor:
        """The inverse of `to_generator`."""
        ...

    def interpolate(self, code_BL: Tensor, other_BL: Tensor, share_B: Tensor) -> Tensor:
        """The codes at a share of the way between two codes, B × L, float64."""
        ...

    def error(self, code_BL: Tensor, other_BL: Tensor, tensors: LatentTensors) -> Tensor:
        """How far two codes are apart, B, float64: the figure `eval/enc` of an evaluation."""
        ...

    def spread(self, tensors: LatentTensors) -> Tensor:
        """Standard deviation of what enters the generator along each element, L.

        The elements with the largest spread are the most important ones.
        """
        ...
