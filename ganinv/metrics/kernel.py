"""Kernel distance: unbiased squared MMD under the kernel k(x, y) = (x · y / F + 1)³.

Paper: M. Bińkowski et al., "Demystifying MMD GANs" (KID), ICLR 2018. Mean over 100 subsets of
1000 samples, as published; if both sets have at most 1000 samples, one MMD over all samples. It is
KID only on FID's Inception features. The estimate is unbiased, so it may be negative for equal
distributions.

Shapes: N and M samples, F features, S subsets.
"""

import torch
from torch import Tensor

from ganinv.draws import stream
from ganinv.metrics.base import Figure, SetMetric
from ganinv.metrics.ranks import ALONE, Ranks

SUBSETS = 100
SUBSET_SAMPLES = 1000


def kernel_distance(real_NF: Tensor, fake_MF: Tensor, seed: int, ranks: Ranks = ALONE) -> float:
    """Mean of MMD² over subsets; the subsets depend only on `seed` and the sizes of both sets."""
    n, m = len(real_NF), len(fake_MF)
    if max(n, m) <= SUBSET_SAMPLES:  # less than a second, so every rank computes it
        return float(squared_mmd(real_NF.double(), fake_MF.double()))
    size = min(n, m, SUBSET_SAMPLES)
    value_S = torch.zeros(SUBSETS, dtype=torch.float64)
    for subset in ranks.pieces(SUBSETS):
        draw = stream(seed, "kernel distance/subsets", subset)
        real_rows, fake_rows = (
            torch.from_numpy(draw.choice(count, size, replace=False)).to(real_NF.device)
            for count in (n, m)
        )
        value_S[subset] = squared_mmd(real_NF[real_rows].double(), fake_MF[fake_rows].double())
    return float(ranks.total(value_S).mean())


def squared_mmd(real_NF: Tensor, fake_MF: Tensor) -> Tensor:
    """Unbiased MMD²: no sample is compared with itself."""
    across = _kernel(real_NF, fake_MF).mean()
    return _mean_of_others(real_NF) + _mean_of_others(fake_MF) - 2 * across


def _mean_of_others(feature_NF: Tensor) -> Tensor:
    kernel_NN = _kernel(feature_NF, feature_NF)
    count = len(feature_NF)
    return (kernel_NN.sum() - kernel_NN.trace()) / (count * (count - 1))


def _kernel(x_NF: Tensor, y_MF: Tensor) -> Tensor:
    return (x_NF @ y_MF.T / x_NF.shape[1] + 1) ** 3


def _measure(real_NF: Tensor, fake_MF: Tensor, seed: int, ranks: Ranks) -> tuple[float]:
    return (kernel_distance(real_NF, fake_MF, seed, ranks),)


METRIC = SetMetric(
    figures=(
        Figure(
            name="kd",
            higher_is_better=False,
            meaning="Kernel distance",
            on_inception="kid",
        ),
    ),
    function=_measure,
)
