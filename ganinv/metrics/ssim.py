"""Structural similarity (SSIM), with the defaults of TensorFlow's `tf.image.ssim`.

Paper: Z. Wang et al., "Image quality assessment: from error visibility to structural similarity",
IEEE TIP 2004, eq. 13.

    μ, σ², σ_xy   mean, variance and covariance under an 11 × 11 Gaussian window, σ = 1.5
    L             range of values: 2, for images in [−1, 1]
    C₁, C₂        (0.01 L)², (0.03 L)²

Only windows inside the image count. The map is averaged over pixels and channels.
Shapes: B images, C channels, H × W pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional

from ganinv.metrics.base import Figure, PairMetric

WINDOW = 11  # pixels
SIGMA = 1.5  # pixels
RANGE = 2.0
C1 = (0.01 * RANGE) ** 2
C2 = (0.03 * RANGE) ** 2


def ssim(x_BCHW: Tensor, y_BCHW: Tensor) -> Tensor:
    """SSIM per image, B, for images of at least 11 × 11 pixels; 1 for equal images."""
    mean_x, mean_y = _blur(x_BCHW), _blur(y_BCHW)
    product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    covariance = _blur(x_BCHW * y_BCHW) - product
    variances = _blur(x_BCHW.square() + y_BCHW.square()) - squares
    luminance = (2 * product + C1) / (squares + C1)
    structure = (2 * covariance + C2) / (variances + C2)
    return (luminance * structure).flatten(1).mean(1)


def _blur(x_BCHW: Tensor) -> Tensor:
    """Weighted means of all windows within the image, rows first, then columns."""
    offset = torch.arange(WINDOW, dtype=x_BCHW.dtype, device=x_BCHW.device) - WINDOW // 2
    weight = (-offset.square() / (2 * SIGMA**2)).softmax(0)
    planes = x_BCHW.flatten(0, 1)[:, None]
    planes = functional.conv2d(planes, weight.view(1, 1, 1, -1))
    planes = functional.conv2d(planes, weight.view(1, 1, -1, 1))
    return planes.view(*x_BCHW.shape[:2], *planes.shape[2:])


METRIC = PairMetric(
    figure=Figure(name="ssim", higher_is_better=True, meaning="SSIM"),
    function=ssim,
    least_pixels=WINDOW,
)
