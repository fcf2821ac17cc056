"""Density and coverage: precision and recall that outliers among the samples move little.

Paper: M. F. Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", ICML
2020, section 3, k = 5. B(x, r) is the ball around a real sample that reaches to its k-th nearest
other real sample.

    density    mean over generated samples of (number of balls that hold it) / k; may exceed 1
    coverage   share of real samples with a generated sample in their ball

For two large samples of one distribution, density is about 1 and coverage about 1 − 2⁻ᵏ = 0.97. A
sample on the surface of a ball counts, as in `precision_recall`; in the authors' code it does not.

Shapes: N and M samples, F features.
"""

import torch
from torch import Tensor

from ganinv.metrics.base import Figure, SetMetric
from ganinv.metrics.neighbours import centre, distances, radii
from ganinv.metrics.ranks import ALONE, Ranks

NEIGHBOURS = 5


def density_and_coverage(
    real_NF: Tensor, fake_MF: Tensor, ranks: Ranks = ALONE
) -> tuple[float, float]:
    """Density and coverage of more than five real samples, and any generated ones."""
    centre_F = centre(real_NF)
    radius_N = radii(real_NF, NEIGHBOURS, centre_F, ranks)
    held_N = torch.zeros_like(radius_N)  # generated samples in each ball
    for _, columns, distance in distances(fake_MF, real_NF, centre_F, ranks):
        held_N[columns] += (distance <= radius_N[columns]).sum(0)
    held_N = ranks.total(held_N)
    density = float(held_N.sum()) / (NEIGHBOURS * len(fake_MF))
    return density, int((held_N > 0).sum()) / len(held_N)


def _measure(real_NF: Tensor, fake_MF: Tensor, seed: int, ranks: Ranks) -> tuple[float, float]:
    del seed  # nothing is drawn
    return density_and_coverage(real_NF, fake_MF, ranks)


METRIC = SetMetric(
    figures=(
        Figure(
            name="density",
            higher_is_better=True,
            meaning="Mean number of real samples near a generated image, over k = 5",
        ),
        Figure(
            name="coverage",
            higher_is_better=True,
            meaning="Share of real images with a generated image near them",
        ),
    ),
    function=_measure,
    least_samples=NEIGHBOURS + 1,
)
