"""Figures of inversion, over any number of workers.

Each rank takes every W-th image and code; sums and counts are reduced in float64, so the figures
do not depend on the number of workers beyond the last bits of a sum.

Shapes: B samples, L latent elements, C × H × W image in [−1, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.metrics import psnr
from ganinv.metrics.base import PairMetric
from ganinv.metrics.psnr import psnr_db as psnr_db  # a part of this module's interface
from ganinv.model import InvertibleGan, to_signed
from ganinv.seams import SumReduce


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """Which images of an evaluation this rank takes: rank, rank + world, …"""

    rank: int = 0
    world: int = 1

    def of(self, count: int) -> range:
        return range(self.rank, count, self.world)


class InversionSums:
    """Sums of pair metrics over reconstructions, and of L_enc, batch by batch."""

    def __init__(self, model: InvertibleGan, metrics: Sequence[PairMetric]) -> None:
        self._model = model
        self._metrics = tuple(metrics)
        # Per metric, then L_enc (generated images only), then the number of images.
        self._test = torch.zeros(len(self._metrics) + 2, dtype=torch.float64)
        self._generated = torch.zeros_like(self._test)

    def add_held_out(self, real_BCHW: Tensor) -> None:
        """Held-out images against their reconstructions G(E(x) ∘ s)."""
        real = real_BCHW.to(self._model.device)
        self._test[:-2] += self._pairs(real, self._model.reconstruct(real))
        self._test[-1] += len(real)

    def add_generated(self, code_BL: Tensor) -> Tensor:
        """Images of these codes against their reconstructions; returns the images."""
        image = self._model.decode(code_BL)
        recovered = self._model.encode(image)
        self._generated[:-2] += self._pairs(image, self._model.decode(recovered))
        error = (code_BL.double() - recovered.double()) * self._model.scale_L.double()
        self._generated[-2] += error.square().mean(1).sum().cpu()
        self._generated[-1] += len(image)
        return image

    def figures(self, reduce: SumReduce) -> dict[str, float]:
        """Means over all ranks, which call this together; none of a part without images."""
        test, generated = reduce(torch.stack([self._test, self._generated])).tolist()
        found = {}
        for part, sums in (("test", test), ("generated", generated)):
            for metric, total in zip(self._metrics, sums, strict=False):
                if sums[-1]:
                    found[f"eval/{metric.figure.name}_{part}"] = total / sums[-1]
        if generated[-1]:
            found["eval/enc"] = generated[-2] / generated[-1]
        return found

    def _pairs(self, image_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        sums = [metric.measure(image_BCHW, other_BCHW).sum() for metric in self._metrics]
        return torch.stack(sums).cpu()


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
    sums = InversionSums(model, [psnr.METRIC])
    if len(held_out_BCHW):
        sums.add_held_out(to_signed(held_out_BCHW))
    if share.of(generated):
        sums.add_generated(model.prior(list(share.of(generated)), seed))
    return sums.figures(reduce)
