"""The random numbers of an image's transformations: of fixed number and order.

Whether a transformation acts is decided later, by p. So draws depend on neither p nor options.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ganinv.draws import stream

TRANSFORMATIONS = (
    "flip", "quarter", "shift",
    "scale", "turn", "stretch", "turn_again", "move",
    "brightness", "contrast", "luma", "hue", "saturation",
    "cutout",
)  # fmt: skip
UNIFORM = (
    "flip", "quarter", "shift_x", "shift_y", "turn", "turn_again", "luma", "hue",
    "cutout_x", "cutout_y",
)  # fmt: skip
NORMAL = ("scale", "stretch", "move_x", "move_y", "brightness", "contrast", "saturation")

# Columns of a row of draws: a coin for each transformation, then the values.
COINS = {name: column for column, name in enumerate(TRANSFORMATIONS)}
VALUES = {name: column for column, name in enumerate((*UNIFORM, *NORMAL), len(COINS))}


class AugmentationDraws:
    """One of the draws of a step (`Objective.noise`)."""

    size = len(COINS) + len(VALUES)

    def draw(self, seed: int, purpose: str, image_numbers: Sequence[int]) -> Tensor:
        """Uniform numbers of [0, 1), then standard normal ones, float32, B × `size`."""
        rows = []
        for number in image_numbers:
            random = stream(seed, purpose, number)
            uniform = random.random(len(COINS) + len(UNIFORM), dtype=np.float32)
            normal = random.standard_normal(len(NORMAL), dtype=np.float32)
            rows.append(np.concatenate([uniform, normal]))
        return torch.from_numpy(np.stack(rows))
