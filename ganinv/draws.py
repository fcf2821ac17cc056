"""Random numbers as a function of (seed, purpose, image number), and of nothing else.

The one clock of a run is `images_seen`: slot i of the global batch that starts at `images_seen` is
image number `images_seen + i`. Because neither rank nor worker nor wall time enters, a resumed run
needs no saved generator, and a run on any number of workers draws the same numbers.

Philox is counter based (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): the
key is (seed, purpose), the upper words of the counter are the image number.

Shapes: B samples, L latent elements.
"""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Draws(Protocol):
    """Random numbers of each image of a step."""

    @property
    def size(self) -> int:
        """How many an image has."""
        ...

    def draw(self, seed: int, purpose: str, image_numbers: Sequence[int]) -> Tensor:
        """B × `size`, float32, a function of these arguments alone."""
        ...


def purpose_key(purpose: str) -> int:
    """64 bits that name a use of randomness, so that no two uses share a stream."""
    return int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")


def stream(seed: int, purpose: str, image_number: int) -> np.random.Generator:
    """The generator of one image for one purpose."""
    counter = np.array([0, 0, 0, image_number], dtype=np.uint64)
    key = np.array([seed, purpose_key(purpose)], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=key))


def standard_normal(seed: int, purpose: str, image_numbers: Sequence[int], length: int) -> Tensor:
    """N(0, I) per image, float32, B × L."""
    rows = [
        stream(seed, purpose, number).standard_normal(length, dtype=np.float32)
        for number in image_numbers
    ]
    return torch.from_numpy(np.stack(rows))


def coin_flips(seed: int, purpose: str, image_numbers: Sequence[int]) -> Tensor:
    """One fair coin per image, bool, B."""
    heads = [bool(stream(seed, purpose, number).integers(2)) for number in image_numbers]
    return torch.tensor(heads)


def torch_seed(seed: int, purpose: str) -> int:
    """A seed for `torch.Generator`, for draws that belong to no image (initial weights)."""
    mixed = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(mixed[:8], "little") >> 1  # torch takes 63 bits
