"""Loss and moments of predicted latent codes. N samples of the micro-batch, L latent elements."""

import torch
from torch import Tensor

from ganinv.objectives.base import MicroBatch


def encoder_loss(batch: MicroBatch, z_NL: Tensor, predicted_NL: Tensor, scale_L: Tensor) -> Tensor:
    """L_enc = avg((z − z′)² ∘ s²)  (DLSGAN Alg. 1 l. 4, PVDGAN Alg. 1 l. 6)."""
    return batch.mean(((z_NL - predicted_NL).square() * scale_L.square()).mean(1))


def square_moments(codes_NL: Tensor, chosen_N: Tensor | None = None) -> Tensor:
    """Σ z′² over the (chosen) samples and their number, float64, L + 1 elements."""
    square_NL = codes_NL.detach().double().square()
    if chosen_N is None:
        count = square_NL.new_full((1,), float(len(square_NL)))
        return torch.cat([square_NL.sum(0), count])
    weight_N1 = chosen_N.double()[:, None]
    return torch.cat([(square_NL * weight_N1).sum(0), weight_N1.sum(0)])


def mean_square(moments: Tensor) -> Tensor:
    """mean(z′²) of moments that were summed over the global batch, L elements."""
    return moments[:-1] / moments[-1]
