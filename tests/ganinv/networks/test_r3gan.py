"""R3GAN's published sizes and initialisation, and what its options do.

Shapes: B samples, C × H × W image, L latent elements.
"""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from ganinv.errors import ConfigError
from ganinv.networks import r3gan
from ganinv.networks.base import Grid
from tests.support.families import normal

# The authors' widths from 4² on (their `train.py`), with two blocks each.
WIDTHS = {
    32: [768, 768, 768, 768],
    64: [768, 768, 768, 768, 384],
    256: [768, 768, 768, 768, 384, 192, 96],
}
LATENT = 64  # theirs


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def block_parameters(channels: int) -> int:
    """1 × 1 to 2C, 3 × 3 in groups of 16, 1 × 1 back; biases of the two leaky ReLUs."""
    return 2 * channels**2 + 2 * channels * 16 * 9 + 2 * channels**2 + 4 * channels


def published(widths: list[int]) -> tuple[int, int]:
    """Parameters of G and of D: the architecture of the paper, added up."""
    trunk = sum(2 * block_parameters(width) for width in widths)
    trunk += sum(a * b for a, b in pairwise(widths) if a != b)
    basis, image = 16 * widths[0], 3 * widths[-1]
    return trunk + basis + LATENT * widths[0] + image, trunk + basis + widths[0] + image


@pytest.mark.parametrize("resolution", WIDTHS)
def test_widths_and_parameters_are_the_published_ones(resolution: int) -> None:
    config = r3gan.Config(latent_size=LATENT)
    assert config.widths(resolution)[::-1] == WIDTHS[resolution]
    with torch.device("meta"):
        built = r3gan.build(config, resolution=resolution, image_channels=3, seed=0)
    g, d = published(WIDTHS[resolution])
    assert count(built["g"]) == g
    assert count(built["d"]) - count(built["d"].latent) == d
    assert count(built["d"].latent) == 768 * (16 + LATENT)
    if resolution == 256:
        assert (g, d) == (23_057_952, 23_009_568)


def test_larger_images_have_thinner_maps() -> None:
    assert r3gan.Config().widths(1024)[:3] == [24, 48, 96]
    assert r3gan.Config(width=16, max_width=64).widths(64) == [16, 32, 64, 64, 64]


def test_initial_weights_are_scaled_by_fan_in_and_depth() -> None:
    """√(2 / 1.04) · L^(−1/4) before leaky ReLUs, 1 elsewhere, and 0 at the end of a branch."""
    config = r3gan.Config(width=64, max_width=64, latent_size=128)
    built = r3gan.build(config, resolution=32, image_channels=3, seed=0)
    gain = math.sqrt(2 / 1.04) * 8**-0.25  # four resolutions of two blocks
    seen = 0
    for network in built.values():
        for module in network.modules():
            if isinstance(module, r3gan.ResidualBlock):
                seen += 1
                assert module.grouped.groups == 8
                assert not module.contract.weight.any()
                for layer, fan_in in ((module.expand, 64), (module.grouped, 16 * 9)):
                    deviation = float(layer.weight.detach().std()) * math.sqrt(fan_in)
                    assert deviation == pytest.approx(gain, rel=0.05)
                    assert layer.bias is not None
                    assert not layer.bias.any()
    assert seen == 16
    assert float(built["g"].basis.weight.detach().std()) == pytest.approx(128**-0.5, rel=0.05)
    assert float(built["d"].latent.basis.detach().std()) == pytest.approx(1 / 4, rel=0.1)


def test_a_block_begins_as_the_identity() -> None:
    block = r3gan.ResidualBlock(8, 4, 2)
    x_BCHW = normal(2, 8, 5, 5)
    assert torch.equal(block(x_BCHW), x_BCHW)


def test_the_scaled_code_acts_on_the_basis_channel_by_channel() -> None:
    basis = r3gan.GenerativeBasis(5, 3, Grid(height=3, width=4))
    code_BL = normal(2, 5)
    amount_BC = code_BL @ basis.weight.T
    expected = torch.einsum("bc,chw->bchw", amount_BC, basis.basis_CHW)
    torch.testing.assert_close(basis(code_BL), expected)


def test_a_bias_gives_codes_of_zero_an_image() -> None:
    """The basis times a learned constant; at the start it changes nothing."""
    grid = Grid(height=4, width=4)
    plain, other = (r3gan.GenerativeBasis(5, 3, grid, bias=bias) for bias in (False, True))
    other.load_state_dict(plain.state_dict(), strict=False)
    code_BL = normal(2, 5)
    assert torch.equal(other(code_BL), plain(code_BL))
    other.bias.data = torch.arange(3.0)
    zero_BL = torch.zeros(1, 5)
    assert not plain(zero_BL).any()
    torch.testing.assert_close(other(zero_BL)[0, 2], 2 * other.basis_CHW[2])


def test_widths_that_no_groups_divide_are_refused() -> None:
    config = r3gan.Config(width=20, max_width=20)
    with pytest.raises(ConfigError, match=r"group_size = 16: 20 channels .*multiples of 8"):
        r3gan.build(config, resolution=32, image_channels=3, seed=0)
