"""Nearest neighbours within a set, dealt out over ranks; for metrics of manifolds.

Shapes: N points of a set, F features.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ganinv.metrics.ranks import Ranks

ROWS = 1024  # samples whose distances a rank computes before it waits for the others
COLUMNS = 4096  # points that they are compared with at once


def centre(point_NF: Tensor) -> Tensor:
    """The mean, F, float64. Subtract it: `cdist` multiplies, which loses digits far from 0."""
    centre_F = point_NF.new_zeros(point_NF.shape[1], dtype=torch.float64)
    for some in point_NF.split(COLUMNS):
        centre_F += some.double().sum(0) / len(point_NF)
    return centre_F


def radii(point_NF: Tensor, neighbours: int, centre_F: Tensor, ranks: Ranks) -> Tensor:
    """The distance of each point to its k-th nearest other point, N, float64."""
    radius_N = point_NF.new_zeros(len(point_NF), dtype=torch.float64)
    nearest = point_NF.new_zeros(0, 0, dtype=torch.float64)
    for rows, columns, distance in distances(point_NF, point_NF, centre_F, ranks):
        candidates = torch.cat([nearest, distance], 1) if columns.start else distance
        most = min(neighbours + 1, candidates.shape[1])  # the nearest is the point itself
        nearest = candidates.topk(most, largest=False, sorted=False).values
        radius_N[rows] = nearest.amax(1)
    return ranks.total(radius_N)


def distances(
    point_NF: Tensor, other_MF: Tensor, centre_F: Tensor, ranks: Ranks
) -> Iterator[tuple[slice, slice, Tensor]]:
    """This rank's distances between points and others, block by block, with rows and columns.

    All ranks iterate together, to the end.
    """
    for piece in ranks.pieces(-(-len(point_NF) // ROWS)):
        rows = slice(piece * ROWS, (piece + 1) * ROWS)
        points = point_NF[rows].double() - centre_F
        for first in range(0, len(other_MF), COLUMNS):
            columns = slice(first, first + COLUMNS)
            yield rows, columns, torch.cdist(points, other_MF[columns].double() - centre_F)
