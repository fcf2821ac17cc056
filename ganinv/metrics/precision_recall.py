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
from ganinv.metrics.ranks import ALONE, Ranks

NEIGHBOURS = 3
ROWS = 1024  # samples whose distances a rank computes before it waits for the others
COLUMNS = 4096  # points that they are compared with at once


def precision_and_recall(
    real_NF: Tensor, fake_MF: Tensor, ranks: Ranks = ALONE
) -> tuple[float, float]:
    """Precision and recall in [0, 1] of sets with more than three samples each."""
    # `cdist` computes distances from products, which lose digits far from the origin.
    centre_F = real_NF.new_zeros(real_NF.shape[1], dtype=torch.float64)
    for some in real_NF.split(COLUMNS):
        centre_F += some.double().sum(0) / len(real_NF)

    def part(feature_NF: Tensor, begin: int, size: int) -> Tensor:
        return feature_NF[begin : begin + size].double() - centre_F

    def radii(point_NF: Tensor) -> Tensor:
        """The distance of each point to its k-th nearest other point; the nearest is itself."""
        radius_N = point_NF.new_zeros(len(point_NF), dtype=torch.float64)
        for piece in ranks.pieces(-(-len(point_NF) // ROWS)):
            row = piece * ROWS
            rows = part(point_NF, row, ROWS)
            nearest = rows.new_zeros(len(rows), 0)
            for column in range(0, len(point_NF), COLUMNS):
                distance = torch.cdist(rows, part(point_NF, column, COLUMNS))
                candidates = torch.cat([nearest, distance], 1)
                most = min(NEIGHBOURS + 1, candidates.shape[1])
                nearest = candidates.topk(most, largest=False, sorted=False).values
            radius_N[row : row + ROWS] = nearest.amax(1)
        return ranks.total(radius_N)

    real_radius_N, fake_radius_M = radii(real_NF), radii(fake_MF)
    real_within_N, fake_within_M = torch.zeros_like(real_radius_N), torch.zeros_like(fake_radius_M)
    for piece in ranks.pieces(-(-len(fake_MF) // ROWS)):
        row = piece * ROWS
        rows = part(fake_MF, row, ROWS)
        row_radius = fake_radius_M[row : row + ROWS]
        for column in range(0, len(real_NF), COLUMNS):
            distance = torch.cdist(rows, part(real_NF, column, COLUMNS))
            column_radius = real_radius_N[column : column + COLUMNS]
            fake_within_M[row : row + ROWS] += (distance <= column_radius).any(1)
            real_within_N[column : column + COLUMNS] += (row_radius >= distance.T).any(1)
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
