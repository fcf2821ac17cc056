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

NEIGHBOURS = 3
CHUNK = 1024  # samples whose distances to all points are in memory at once


def precision_and_recall(real_NF: Tensor, fake_MF: Tensor) -> tuple[float, float]:
    """Precision and recall in [0, 1] of sets with more than three samples each."""
    # `cdist` computes distances from products, which lose digits far from the origin.
    centre_F = real_NF.mean(0)
    real, fake = real_NF - centre_F, fake_MF - centre_F
    return _share_within(fake, real, _radii(real)), _share_within(real, fake, _radii(fake))


def _radii(point_NF: Tensor) -> Tensor:
    """The distance of each point to its k-th nearest other point; the nearest point is itself."""
    return torch.cat(
        [
            torch.cdist(chunk, point_NF).kthvalue(NEIGHBOURS + 1, dim=1).values
            for chunk in point_NF.split(CHUNK)
        ]
    )


def _share_within(sample_MF: Tensor, point_NF: Tensor, radius_N: Tensor) -> float:
    """The share of samples that lie in the ball of at least one point."""
    inside = sum(
        int((torch.cdist(chunk, point_NF) <= radius_N).any(1).sum())
        for chunk in sample_MF.split(CHUNK)
    )
    return inside / len(sample_MF)


def _measure(real_NF: Tensor, fake_MF: Tensor, seed: int) -> tuple[float, float]:
    del seed  # nothing is drawn
    return precision_and_recall(real_NF, fake_MF)


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
