"""Sliced Wasserstein distance: the distance between two sets along random directions.

Paper: N. Bonneel et al., "Sliced and Radon Wasserstein Barycenters of Measures", JMIV 2015.

    SW₂ = (mean over directions θ of W₂²(⟨θ, x⟩, ⟨θ, y⟩))^½

In one dimension, W₂² is the mean squared difference of the quantile functions. For sets of equal
size, that is the mean squared difference of the sorted samples. The distance between two sets that
differ by a shift δ is about ‖δ‖ / √F. This is not the SWD on Laplacian patches of T. Karras et al.
(2018).

Shapes: N and M samples, F features, D directions, Q intervals of probability.
"""

import math

import numpy as np
import torch
from torch import Tensor

from ganinv.draws import stream
from ganinv.metrics.base import Figure, SetMetric
from ganinv.metrics.ranks import ALONE, Ranks

DIRECTIONS = 512
CHUNK = 32  # directions that a rank takes before it waits for the others
SAMPLES = 4096  # projected at once


def directions(size: int, seed: int) -> Tensor:
    """512 unit vectors, uniform on the sphere, 512 × `size`, float64; decided by `seed`."""
    drawn = [
        stream(seed, "sliced wasserstein/directions", number).standard_normal(size)
        for number in range(DIRECTIONS)
    ]
    vectors = torch.from_numpy(np.stack(drawn))
    return torch.nn.functional.normalize(vectors)


def sliced_wasserstein(real_NF: Tensor, fake_MF: Tensor, seed: int, ranks: Ranks = ALONE) -> float:
    """SW₂ of two sets."""
    weight_Q, real_Q, fake_Q = _common_quantiles(len(real_NF), len(fake_MF), real_NF.device)
    chunks = directions(real_NF.shape[1], seed).to(real_NF.device).split(CHUNK)
    distance_D = torch.zeros(DIRECTIONS, dtype=torch.float64)
    for piece in ranks.pieces(len(chunks)):
        real, fake = (_along(chunks[piece], samples) for samples in (real_NF, fake_MF))
        first = piece * CHUNK
        found = weight_Q @ (real[real_Q] - fake[fake_Q]).square()
        distance_D[first : first + CHUNK] = found.cpu()
    return math.sqrt(float(ranks.total(distance_D).mean()))


def _along(direction_DF: Tensor, sample_NF: Tensor) -> Tensor:
    """The samples' sorted components along each direction, N × D."""
    parts = [part.double() @ direction_DF.T for part in sample_NF.split(SAMPLES)]
    return torch.cat(parts).sort(0).values


def _common_quantiles(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Intervals of probability on which the quantile functions of n and of m samples are constant.

    Returns the width of each interval, and the index of its sorted sample in either set. The
    interval ends are integers in units of 1 / (n · m), so that nothing is rounded.
    """
    end_Q = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()
    begin_Q = torch.cat([torch.zeros(1, dtype=torch.int64), end_Q[:-1]])
    width_Q = (end_Q - begin_Q).double() / (n * m)
    return width_Q.to(device), (begin_Q // m).to(device), (begin_Q // n).to(device)


def _measure(real_NF: Tensor, fake_MF: Tensor, seed: int, ranks: Ranks) -> tuple[float]:
    return (sliced_wasserstein(real_NF, fake_MF, seed, ranks),)


METRIC = SetMetric(
    figures=(Figure(name="swd", higher_is_better=False, meaning="Sliced Wasserstein distance"),),
    function=_measure,
    least_samples=1,
)
