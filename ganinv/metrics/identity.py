"""Identity distance: how far a face recogniser places a face from the face of its reconstruction.

The Euclidean distance between the descriptors of the two images, by a network that was trained to
place photographs of one person near each other. dlib's network (the extra `faces`) has 128 values,
and calls two photographs those of one person if they are less than 0.6 apart. A pair counts if a
face is found in both images; the figure `faces` is the share of such pairs.

Shapes: B images, C × H × W in [−1, 1]; D descriptor.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganinv.metrics.base import Figure, FurtherMetric, PairMetric
from ganinv.pictures import to_bytes, to_rgb

# Image, uint8 H × W × 3 → descriptor of its face, or None without one.
Describe = Callable[[NDArray[np.uint8]], NDArray[np.float64] | None]

IDENTITY = Figure(
    name="identity_distance",
    higher_is_better=False,
    meaning="Distance of the faces' descriptors",
)
FACES = Figure(
    name="faces",
    higher_is_better=True,
    meaning="Share with two faces among pairs",
)


def identity_metric(describe: Describe) -> PairMetric:
    """The metric with this face recogniser; NaN for a pair without two faces."""

    def function(image_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        first, second = (_bytes(x) for x in (image_BCHW, other_BCHW))
        found = [_distance(describe(a), b, describe) for a, b in zip(first, second, strict=True)]
        return torch.tensor(found, dtype=torch.float64, device=image_BCHW.device)

    return PairMetric(figure=IDENTITY, function=function, counted=FACES)


def _distance(
    face_D: NDArray[np.float64] | None, other: NDArray[np.uint8], describe: Describe
) -> float:
    other_D = describe(other) if face_D is not None else None
    if face_D is None or other_D is None:
        return float("nan")
    return float(np.linalg.norm(face_D - other_D))


def _bytes(image_BCHW: Tensor) -> list[NDArray[np.uint8]]:
    image_BHWC = to_bytes(to_rgb(image_BCHW)).permute(0, 2, 3, 1).contiguous()
    return list(image_BHWC.cpu().numpy())


METRIC = FurtherMetric(figures=(IDENTITY, FACES), suffix="images")
