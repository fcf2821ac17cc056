"""Tiny networks of every family, for the tests that all families go through."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganinv import networks
from ganinv.networks.base import Judgement, Networks
from ganinv.sizes import Resolution

LATENT_SIZE = 7  # that of `tests.support.runs.NETWORK`
# Families of a generator and a discriminator with an encoder inside. Others have other networks,
# and tests of their own.
INTEGRATED = [name for name in networks.names() if not hasattr(networks.find(name), "NETWORKS")]
families = pytest.mark.parametrize("name", INTEGRATED)


def build(
    name: str,
    *,
    resolution: Resolution = 16,
    channels: int = 3,
    seed: int = 0,
    untrained: bool = False,
    **options: Any,
) -> Networks:
    """Tiny networks of the family; `untrained`: exactly as training begins with them."""
    module = networks.find(name)
    config = module.Config(**{"latent_size": LATENT_SIZE, "width": 2, "max_width": 4, **options})
    built: Networks = module.build(
        config, resolution=resolution, image_channels=channels, seed=seed
    )
    if not untrained:
        for network in built.values():
            without_zeros(network)
    return built


def without_zeros(network: nn.Module) -> None:
    """Layers whose weights begin at 0 get small ones: nothing reaches what lies before zeros."""
    for number, weight in enumerate(network.parameters()):
        if weight.ndim > 1 and not weight.any():
            weight.data = 0.2 * normal(*weight.shape, seed=number).to(weight)


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers, a function of shape and seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def outputs(network: nn.Module, argument: Tensor) -> Iterator[Tensor]:
    """The image, or each of the discriminator's outputs."""
    with torch.no_grad():
        result = network(argument)
    yield from (result if isinstance(result, Judgement) else (result,))
