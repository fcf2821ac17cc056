"""Figures of inversion, over any number of workers.

Each rank takes every W-th image and code; sums and counts are reduced in float64, so the figures
do not depend on the number of workers beyond the last bits of a sum.

PSNR = 10 · log10(2² / MSE) for images in [−1, 1], averaged over images (as the author evaluates).
Shapes: B samples, C × H × W image.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.model import InvertibleGan, to_signed
from ganinv.seams import SumReduce


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """Which images of an evaluation this rank takes: rank, rank + world, …"""

    rank: int = 0
    world: int = 1

    def of(self, count: int) -> range:
        return range(self.rank, count, self.world)


def psnr_db(image_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
    """PSNR per image in dB, float64, for images in [−1, 1]; infinite where they are equal."""
    error_B = (image_BCHW.double() - other_BCHW.double()).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error_B)


def inversion_figures(
    model: InvertibleGan,
    held_out_BCHW: Tensor,
    *,
    generated: int,
    seed: int,
    share: Share,
    reduce: SumReduce,
) -> dict[str, float]:
    """PSNR of reconstructed held-out and generated images, and L_enc of generated ones.

    `held_out_BCHW`: this rank's share, uint8. `generated`: number of generated images in all. All
    ranks call this together.
    """
    real = to_signed(held_out_BCHW).to(model.device)
    code = model.prior(list(share.of(generated)), seed) if share.of(generated) else None
    sums = torch.zeros(5, dtype=torch.float64)
    if len(real):
        sums[0] = psnr_db(real, model.reconstruct(real)).sum()
        sums[1] = len(real)
    if code is not None:
        image = model.decode(code)
        recovered = model.encode(image)
        sums[2] = psnr_db(image, model.decode(recovered)).sum()
        error = (code.double() - recovered.double()) * model.scale_L.double()
        sums[3] = error.square().mean(1).sum()
        sums[4] = len(code)
    test_sum, test_count, generated_sum, encoder_sum, generated_count = reduce(sums).tolist()
    figures = {}
    if test_count:
        figures["eval/psnr_db_test"] = test_sum / test_count
    if generated_count:
        figures["eval/psnr_db_generated"] = generated_sum / generated_count
        figures["eval/enc"] = encoder_sum / generated_count
    return figures
