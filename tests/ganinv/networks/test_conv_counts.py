"""The convolutional family has exactly the author's parameters at full size."""

import torch
from torch import nn

from ganinv.networks import conv

# His discriminator has a third head (log variance) that nothing trains and that we leave out.
THIRD_HEAD = (4 * 4 * 512 + 1) * 1024


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_at_256_pixels() -> None:
    with torch.device("meta"):
        built = conv.build(conv.Config(), resolution=256, image_channels=3, seed=0)
    assert THIRD_HEAD == 8_389_632
    assert count(built["g"]) == 25_829_955
    assert count(built["d"]) == 31_647_873 - THIRD_HEAD
