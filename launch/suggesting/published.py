"""Published rules as functions of numbers. γ weighs (γ/2) ‖∇D‖²; options here take λ = γ/2.

StyleGAN2-ADA: Karras et al. 2020, arXiv 2006.06676; `cfg=auto` of the authors' `train.py`, whose
values for 128² to 1024² on 1 to 8 GPUs are printed in stylegan3's docs/configs.md.
R3GAN: Huang et al. 2024, arXiv 2501.05441, with the presets of the authors' `train.py`.
"""

import math
from collections.abc import Mapping
from itertools import pairwise

ADA = "StyleGAN2-ADA"
STYLEGAN3 = "StyleGAN3"
R3GAN = "R3GAN"
PLACES: Mapping[str, str] = {  # where to read it
    ADA: "arXiv 2006.06676; NVlabs/stylegan2-ada-pytorch, train.py, cfg=auto",
    STYLEGAN3: "NVlabs/stylegan3, docs/configs.md",
    R3GAN: "arXiv 2501.05441; brownvc/R3GAN, train.py",
}

# R3GAN's γ at the start by pixels a side (CIFAR-10, FFHQ-64, FFHQ-256); it ends at a tenth.
R3GAN_GAMMAS: Mapping[int, float] = {32: 0.05, 64: 2.0, 256: 150.0}
PER_DOUBLING = 4.0  # of γ, for every doubling of the resolution (stylegan3, docs/configs.md)
TO_TRY = (0.25, 0.5, 1.0, 2.0, 4.0)  # multiples of γ that stylegan3's guidelines compare


def ada_batch(side: int, gpus: int) -> int:
    """Images of a step: 4096 / side a GPU, at most 32, and 64 together; at least 1 a GPU."""
    return max(min(gpus * min(4096 // side, 32), 64), gpus)


def ada_gamma(pixels: int, batch: int) -> float:
    """γ = 0.0002 · side² / batch; for images that are not square, side² is their area."""
    return 0.0002 * pixels / batch


def ada_rate(side: int) -> float:
    """Adam's learning rate of both networks."""
    return 0.002 if side >= 1024 else 0.0025


def ada_width(side: int) -> int:
    """Channels at the full resolution: 16,384 / side, from 512 pixels on 32,768; at most 512."""
    channels = (32_768 if side >= 512 else 16_384) // side
    return min(512, max(8, channels - channels % 8))


def ada_half_life(batch: int) -> int:
    """Half-life of the averaged weights, in images: 10,000 for every 32 images of a batch."""
    return round(batch * 10_000 / 32)


def r3gan_gamma(side: int) -> float:
    """γ at the start: published at 32, 64 and 256 pixels, on a straight line of logarithms between.

    Outside, it changes by 4 for every doubling, the rule of StyleGAN3.
    """
    points = sorted(R3GAN_GAMMAS.items())
    for (low, low_gamma), (high, high_gamma) in pairwise(points):
        if low <= side <= high:
            share = math.log(side / low) / math.log(high / low)
            return math.exp((1 - share) * math.log(low_gamma) + share * math.log(high_gamma))
    nearest, gamma = points[0] if side < points[0][0] else points[-1]
    return float(gamma * PER_DOUBLING ** math.log2(side / nearest))
