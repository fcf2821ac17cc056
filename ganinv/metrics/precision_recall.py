"""Improved precision and recall: the share of samples within the other set's manifold.

Paper: T. Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative
Models", NeurIPS 2019. The manifold of a set is the union of balls around its points. The radius of
a ball is the distance to the k-th nearest other point of the set, k = 3 (eq. 1).

    precision   share of generated samples within the manifold of real ones: fidelity
    recall      share of real samples within the manifold of generated ones: variety

Shapes: N and M samples, F features.
"""

import torch
from torch import Tensor

from ganinv.metrics.base import Figure, SetMetric
from ganinv.metrics.neighbours import centre, distances, radii
from ganinv.metrics.ranks import ALONE, Ranks

NEIGHBOURS = 3


def precision_and_recall(
    real_NF: Tensor, fake_MF: Tensor, ranks: Ranks = ALONE
) -> tuple[float, float]:
    """Precision and recall in [0, 1] of sets with more than three samples each."""
    centre_F = centre(real_NF)
    real_radius_N = radii(real_NF, NEIGHBOURS, centre_F, ranks)
    fake_radius_M = radii(fake_MF, NEIGHBOURS, centre_F, ranks)
    real_within_N, fake_within_M = torch.zeros_like(real_radius_N), torch.zeros_like(fake_radius_M)
    for rows, columns, distance in distances(fake_MF, real_NF, centre_F, ranks):
        fake_within_M[rows] += (distance <= real_radius_N[columns]).any(1)
        real_within_N[columns] += (fake_radius_M[rows] >= distance.T).any(1)
    return _share(ranks.total(fake_within_M)), _share(ranks.total(real_within_N))


def _share(balls_N: Tensor) -> float:
    """The share of samples that lie in at least one ball."""
    return int((balls_N > 0).sum()) / len(balls_N)


def _measure(real_NF: Tensor, fake_MF: Tensor, seed: int, ranks: Ranks) -> tuple[float, float]:
    del seed  # nothing is drawn
    return precision_and_recall(real_NF, fake_MF, ranks)


METRIC = SetMetric(
    figures=(
        Figure(
            name="precision",
            higher_is_better=True,
            meaning="Share of generated images within the real manifold",
        ),
        Figure(
            name="recall",
            higher_is_better=True,
            meaning="Share of real images within the generated manifold",
        ),
    ),
    function=_measure,
    least_samples=NEIGHBOURS + 1,
)
