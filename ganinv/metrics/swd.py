"""Sliced Wasserstein distance: how far two sets are apart along random directions.

Paper: N. Bonneel et al., "Sliced and Radon Wasserstein Barycenters of Measures", JMIV 2015.

    SW₂ = (mean over directions θ of W₂²(⟨θ, x⟩, ⟨θ, y⟩))^½

In one dimension W₂² of equally many samples is the mean squared difference of the sorted ones.
Sets that differ by a shift δ are about ‖δ‖ / √F apart. This is not the SWD on Laplacian patches
of T. Karras et al. (2018). Shapes: N samples of either set, F features.
"""

import math

import numpy as np
import torch
from torch import Tensor

from ganinv.draws import stream
from ganinv.metrics.base import Figure, SetMetric

DIRECTIONS = 512
CHUNK = 64  # directions at once


def directions(size: int, seed: int) -> Tensor:
    """512 unit vectors, uniform on the sphere, 512 × `size`, float64; a function of both."""
    drawn = [
        stream(seed, "sliced wasserstein/directions", number).standard_normal(size)
        for number in range(DIRECTIONS)
    ]
    vectors = torch.from_numpy(np.stack(drawn))
    return torch.nn.functional.normalize(vectors)


def sliced_wasserstein(real_NF: Tensor, fake_NF: Tensor, seed: int) -> float:
    """SW₂ of two sets of equally many samples."""
    total = 0.0
    for chunk in directions(real_NF.shape[1], seed).to(real_NF.device).split(CHUNK):
        real, fake = (real_NF @ chunk.T).sort(0).values, (fake_NF @ chunk.T).sort(0).values
        total += float((real - fake).square().mean(0).sum())
    return math.sqrt(total / DIRECTIONS)


def _measure(real_NF: Tensor, fake_NF: Tensor, seed: int) -> tuple[float]:
    return (sliced_wasserstein(real_NF, fake_NF, seed),)


METRIC = SetMetric(
    figures=(Figure(name="swd", higher_is_better=False, meaning="sliced Wasserstein distance"),),
    function=_measure,
    least_samples=1,
    equal_sizes=True,
)
