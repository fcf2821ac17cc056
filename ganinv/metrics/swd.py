"""Sliced Wasserstein distance: how far two sets are apart along random directions.

Paper: N. Bonneel et al., "Sliced and Radon Wasserstein Barycenters of Measures", JMIV 2015.

    SW₂ = (mean over directions θ of W₂²(⟨θ, x⟩, ⟨θ, y⟩))^½

In one dimension W₂² is the mean squared difference of the quantile functions; of equally many
samples, that of the sorted ones. Sets that differ by a shift δ are about ‖δ‖ / √F apart. This is
not the SWD on Laplacian patches of T. Karras et al. (2018).

Shapes: N and M samples, F features, Q intervals of probability.
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


def sliced_wasserstein(real_NF: Tensor, fake_MF: Tensor, seed: int) -> float:
    """SW₂ of two sets."""
    weight_Q, real_Q, fake_Q = _common_quantiles(len(real_NF), len(fake_MF), real_NF.device)
    total = 0.0
    for chunk in directions(real_NF.shape[1], seed).to(real_NF.device).split(CHUNK):
        real, fake = (real_NF @ chunk.T).sort(0).values, (fake_MF @ chunk.T).sort(0).values
        total += float((weight_Q @ (real[real_Q] - fake[fake_Q]).square()).sum())
    return math.sqrt(total / DIRECTIONS)


def _common_quantiles(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Intervals of probability on which the quantile functions of n and of m samples are constant.

    Their widths, and which of the sorted samples of either set each of them belongs to. Counted in
    parts of 1 / (n · m), so that nothing is rounded.
    """
    end_Q = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()
    begin_Q = torch.cat([torch.zeros(1, dtype=torch.int64), end_Q[:-1]])
    width_Q = (end_Q - begin_Q).double() / (n * m)
    return width_Q.to(device), (begin_Q // m).to(device), (begin_Q // n).to(device)


def _measure(real_NF: Tensor, fake_MF: Tensor, seed: int) -> tuple[float]:
    return (sliced_wasserstein(real_NF, fake_MF, seed),)


METRIC = SetMetric(
    figures=(Figure(name="swd", higher_is_better=False, meaning="Sliced Wasserstein distance"),),
    function=_measure,
    least_samples=1,
)
