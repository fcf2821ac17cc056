"""p that adapts to D: ADA, arXiv 2006.06676, §3.

    r_t = E[sign a(T(x))], over real images; with relativistic losses, of Δ

r_t near 1: D tells the images apart, and starts to know its few real images by heart. Every
`interval` steps, p moves up if r_t of these steps is above the target, else down, within [0, 1].

The state is (p, Σ sign, number of signs since the last move), float64, equal on all ranks.
"""

import torch
from torch import Tensor

from ganinv.augmentation.options import AugmentConfig


def new_state(config: AugmentConfig) -> Tensor:
    assert isinstance(config.p, float)
    return torch.tensor([config.p, 0.0, 0.0], dtype=torch.float64)


def moments(values_N: Tensor) -> Tensor:
    """Σ sign of D's values and their number, float64."""
    signs_N = values_N.detach().double().sign()
    return torch.stack([signs_N.sum(), torch.full_like(signs_N[0], len(signs_N))])


def next_state(
    config: AugmentConfig, state: Tensor, moments: Tensor, *, images_seen: int, global_batch: int
) -> Tensor:
    """After a step that began at `images_seen`, from the moments of the global batch."""
    p, sums = state[:1], state[1:] + moments.to(state.device)
    if (images_seen // global_batch + 1) % config.interval:
        return torch.cat([p, sums])
    direction = (sums[:1] / sums[1:] - config.target).sign()
    move = config.interval * global_batch / config.speed_images
    return torch.cat([(p + move * direction).clamp(0, 1), torch.zeros_like(sums)])
