"""Peak signal-to-noise ratio: 10 · log10(2² / MSE) for images in [−1, 1]."""

import torch
from torch import Tensor

from ganinv.metrics.base import Figure, PairMetric


def psnr_db(image_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
    """PSNR per image in dB, B, float64, for images in [−1, 1]; infinite for equal images."""
    error_B = (image_BCHW.double() - other_BCHW.double()).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error_B)


METRIC = PairMetric(
    figure=Figure(name="psnr_db", unit="dB", higher_is_better=True, meaning="PSNR"),
    function=psnr_db,
)
