"""Identity distance, with a face recogniser that is none."""

import numpy as np
import torch
from numpy.typing import NDArray

from ganinv.metrics.identity import identity_metric
from ganinv.pictures import to_signed


def mean_colour(image_HWC: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Finds no face in a black image."""
    assert image_HWC.dtype == np.uint8
    assert image_HWC.flags.c_contiguous
    assert image_HWC.shape[2] == 3
    return image_HWC.mean((0, 1)) if image_HWC.any() else None


def test_the_distance_is_that_of_the_descriptors_and_nan_without_two_faces() -> None:
    byte = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    byte[:3, 0], byte[1, 1] = 30, 40
    other = byte.roll(-1, 0)  # pairs: (0, 1), (1, 2), (2, none), (none, 0)
    metric = identity_metric(mean_colour)
    found = metric.measure(to_signed(byte), to_signed(other))
    assert found[:2].tolist() == [40, 40]
    assert found.isnan().tolist() == [False, False, True, True]
    assert metric.counted is not None
