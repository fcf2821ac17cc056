"""Fréchet distance between two Gaussians with the moments of the feature sets.

Paper: M. Heusel et al., "GANs Trained by a Two Time-Scale Update Rule …" (FID), NeurIPS 2017:

    d² = ‖μ_r − μ_g‖² + Tr(Σ_r + Σ_g − 2 (Σ_r Σ_g)^½)

With any factors Σ_r = AᵀA and Σ_g = BᵀB, Tr (Σ_r Σ_g)^½ is the sum of the singular values of A Bᵀ.
Two choices of factors: the symmetric roots of the covariances, or the centred samples over
√(n − 1), which are smaller if there are fewer samples than features.
The distance is biased for few samples: compare only figures of equal N. It is FID only on FID's
Inception features.

Shapes: N and M samples, F features.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ganinv.metrics.base import Figure, SetMetric
from ganinv.metrics.ranks import ALONE, Ranks

CHUNK = 4096  # samples whose outer products are summed at once
COLUMNS = 128  # features whose products a rank sums before it waits for the others


class Moments(NamedTuple):
    """Sums over samples, all float64. The moments of several sets add up field by field."""

    samples: Tensor  # n, a scalar
    sum_F: Tensor  # Σ f
    outer_FF: Tensor  # Σ f fᵀ

    def mean(self) -> Tensor:
        return self.sum_F / self.samples

    def covariance(self) -> Tensor:
        """Unbiased: divides by n − 1, as FID's code does."""
        centred = self.outer_FF - self.mean().outer(self.sum_F)
        return centred / (self.samples - 1)


def moments(feature_NF: Tensor, ranks: Ranks = ALONE) -> Moments:
    """The moments of N samples; N may be 0. Every rank has all samples and sums some columns."""
    size = feature_NF.shape[1]
    total = torch.zeros(size, dtype=torch.float64, device=feature_NF.device)
    outer = torch.zeros(size, size, dtype=torch.float64, device=feature_NF.device)
    for part in feature_NF.split(CHUNK):
        total += part.double().sum(0)
    for piece in ranks.pieces(-(-size // COLUMNS)):
        columns = slice(piece * COLUMNS, (piece + 1) * COLUMNS)
        for chunk in feature_NF.split(CHUNK):
            part = chunk.double()
            outer[:, columns] += part.T @ part[:, columns]
    count = torch.tensor(float(len(feature_NF)), dtype=torch.float64)
    return Moments(count, total, ranks.total(outer))


def frechet_distance(real: Moments, fake: Moments) -> float:
    """d² of two sets with at least two samples each."""
    real_FF, fake_FF = real.covariance(), fake.covariance()
    overlap = torch.linalg.svdvals(_root(real_FF) @ _root(fake_FF)).sum()
    spread = real_FF.trace() + fake_FF.trace() - 2 * overlap
    return float((real.mean() - fake.mean()).square().sum() + spread)


def _root(covariance_FF: Tensor) -> Tensor:
    """The symmetric root; eigenvalues that rounding made negative count as zero."""
    value_F, vector_FF = torch.linalg.eigh(covariance_FF)
    root_FF: Tensor = (vector_FF * value_F.clamp(min=0).sqrt()) @ vector_FF.T
    return root_FF


def frechet_of_few(real_NF: Tensor, fake_MF: Tensor) -> float:
    """d² computed from the samples, without an F × F matrix: O(N M F)."""
    real, fake = _factor(real_NF), _factor(fake_MF)
    overlap = torch.linalg.svdvals(real @ fake.T).sum()
    spread = real.square().sum() + fake.square().sum() - 2 * overlap
    return float((real_NF.mean(0) - fake_MF.mean(0)).square().sum() + spread)


def _factor(feature_NF: Tensor) -> Tensor:
    return (feature_NF - feature_NF.mean(0)) / math.sqrt(len(feature_NF) - 1)


def _measure(real_NF: Tensor, fake_MF: Tensor, seed: int, ranks: Ranks) -> tuple[float]:
    del seed  # nothing is drawn
    # Every rank decomposes the matrices: 6 s of a CPU for 2,048 features, and less with fewer.
    if max(len(real_NF), len(fake_MF)) < real_NF.shape[1]:
        return (frechet_of_few(real_NF.double(), fake_MF.double()),)
    return (frechet_distance(moments(real_NF, ranks), moments(fake_MF, ranks)),)


METRIC = SetMetric(
    figures=(
        Figure(
            name="fd",
            higher_is_better=False,
            meaning="Fréchet distance",
            on_inception="fid",
        ),
    ),
    function=_measure,
)
