"""What every network family offers. Shapes: B samples, L latent elements, F features."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganinv.draws import torch_seed


class Judgement(NamedTuple):
    """Output of the integrated discriminator D* (PVDGAN §2): D, latent encoder and feature encoder.

    `adversarial_B`: the higher, the more real. `latent_BL`: predicted latent code.
    `feature_BF`: intermediate layer, flattened.
    """

    adversarial_B: Tensor
    latent_BL: Tensor
    feature_BF: Tensor


class GanPair(NamedTuple):
    """A generator (scaled code B × L → image in about [−1, 1]) and an integrated discriminator."""

    generator: nn.Module
    discriminator: nn.Module


def seeded(build: Callable[[], nn.Module], seed: int, purpose: str) -> nn.Module:
    """A network whose initial weights are a function of (seed, purpose), whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, purpose))
        return build()
