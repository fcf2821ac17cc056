"""The differences between the style-based families, each against its definition.

Shapes: B samples, I channels in, O channels out, H × W pixels.
"""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ganinv.errors import ConfigError
from ganinv.networks import reduced_stylegan2, styled, stylegan2
from ganinv.networks.layers import Blur, BlurredDownConv, BlurredUpConv, BlurUp, EqualisedLinear


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_demodulation_equals_a_kernel_for_each_sample() -> None:
    """StyleGAN2 eq. 1 and 3, as one grouped convolution."""
    layer = styled.same_size(5, style_size=7, traits=stylegan2.TRAITS).double()
    x_BIHW, style_BS = normal(3, 5, 8, 8), normal(3, 7, seed=1)
    kernel_BOIHW = layer.conv.weight[None] * layer.modulation(style_BS)[:, None, :, None, None]
    norm_BO = kernel_BOIHW.square().sum((2, 3, 4), keepdim=True).sqrt()
    grouped_OIHW = (kernel_BOIHW / norm_BO).flatten(0, 1)
    expected = F.conv2d(x_BIHW.flatten(0, 1)[None], grouped_OIHW, padding=1, groups=3)
    expected_BOHW = stylegan2.GAIN * expected.reshape(3, 5, 8, 8)
    torch.testing.assert_close(layer(x_BIHW, style_BS), expected_BOHW, rtol=1e-7, atol=1e-7)


def test_reduced_layers_have_unit_spread_and_keep_the_mean() -> None:
    layer = styled.same_size(5, style_size=7, traits=reduced_stylegan2.TRAITS).double()
    x_BIHW, style_BS = normal(3, 5, 8, 8), normal(3, 7, seed=1)
    y_BOHW = layer(x_BIHW, style_BS)
    spread_BO = y_BOHW.flatten(2).std(2, correction=0)
    torch.testing.assert_close(spread_BO, torch.ones_like(spread_BO), rtol=1e-6, atol=1e-6)
    raw_BOHW = layer.conv(x_BIHW * layer.modulation(style_BS)[:, :, None, None])
    ratio_BO = y_BOHW.mean((2, 3)) / raw_BOHW.mean((2, 3))
    expected_BO = 1 / raw_BOHW.flatten(2).std(2, correction=0)
    torch.testing.assert_close(ratio_BO, expected_BO, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("family", "kept"), [(stylegan2, False), (reduced_stylegan2, True)])
def test_only_the_reduced_mapper_sees_the_length_of_a_code(family: object, kept: bool) -> None:
    config = styled.StyledConfig(name="", latent_size=6, style_size=8)
    mapper = styled.Mapper(config, family.TRAITS).double()  # type: ignore[attr-defined]  # a module
    code_BL = normal(4, 6)
    assert torch.allclose(mapper(code_BL), mapper(3 * code_BL), rtol=1e-6) is not kept


def test_each_layer_can_have_a_style_of_its_own() -> None:
    """A style counts for its own layers alone; the layers are StyleGAN2's, two a resolution."""
    config = stylegan2.Config(latent_size=6, style_size=5, width=2, max_width=4)
    generator = stylegan2.build(config, resolution=16, image_channels=3, seed=0)["g"].double()
    assert generator.style_layers == 2 * 3  # of 4, 8 and 16 pixels
    style_BS = generator.style(normal(2, 6))
    one = generator.synthesis(style_BS)
    torch.testing.assert_close(generator(normal(2, 6)), one, rtol=0, atol=0)
    style_BKS = style_BS[:, None].repeat(1, 6, 1)
    torch.testing.assert_close(generator.synthesis(style_BKS), one)
    seen = []
    for layer in range(6):
        changed = style_BKS.clone()
        changed[:, layer] = normal(2, 5, seed=9)
        seen.append(float((generator.synthesis(changed) - one).detach().abs().max()))
    assert min(seen) > 1e-6


def test_upsampling_is_blur_up_and_convolution_away_from_the_border() -> None:
    layer, blur_up = BlurredUpConv(2, 3).double(), BlurUp(2).double()
    x_BCHW = normal(1, 2, 8, 8)
    # A transposed convolution turns the kernel round.
    expected = F.conv2d(blur_up(x_BCHW), layer.weight.flip(2, 3) * layer.rate, padding=1)
    inside = (..., slice(3, -3), slice(3, -3))
    torch.testing.assert_close(layer(x_BCHW)[inside], expected[inside])


def test_downsampling_is_every_other_pixel_of_blur_and_convolution() -> None:
    layer, blur = BlurredDownConv(2, 3).double(), Blur(2).double()
    x_BCHW = normal(1, 2, 8, 8)
    soft_BCHW = F.conv2d(F.pad(x_BCHW, (2, 2, 2, 2)), blur.kernel, groups=2)
    expected = F.conv2d(soft_BCHW, layer.weight * layer.rate)[..., ::2, ::2]
    torch.testing.assert_close(layer(x_BCHW), expected)


def effective(mapper: styled.Mapper) -> list[Tensor]:
    layers = [m for m in mapper.modules() if isinstance(m, EqualisedLinear)]
    return [layer.weight * layer.rate for layer in layers]


def test_a_slow_mapper_is_the_same_function_and_learns_slower_under_adam() -> None:
    moves = []
    starts = []
    for rate in (1.0, 0.01):
        config = styled.StyledConfig(name="", latent_size=6, style_size=8, mapper_rate=rate)
        torch.manual_seed(0)
        mapper = styled.Mapper(config, stylegan2.TRAITS).double()
        before = [w.detach().clone() for w in effective(mapper)]
        adam = torch.optim.Adam(mapper.parameters(), lr=0.01, eps=1e-12)
        mapper(normal(4, 6)).square().sum().backward()
        adam.step()
        starts.append(before)
        moves.append([w - b for w, b in zip(effective(mapper), before, strict=True)])
    for fast, slow in zip(*starts, strict=True):
        torch.testing.assert_close(slow, fast, rtol=1e-6, atol=1e-6)
    for fast, slow in zip(*moves, strict=True):
        torch.testing.assert_close(slow, 0.01 * fast, rtol=1e-4, atol=1e-9)


def test_a_slow_mapper_equals_an_adam_of_its_own() -> None:
    """As the author's 2021 code has it: at 0.01 of the rate, and with an ε 100 times ours."""
    after = []
    for slowed_by, rate, epsilon in ((0.01, 0.002, 1e-5), (1.0, 0.01 * 0.002, 1e-3)):
        config = styled.StyledConfig(name="", latent_size=6, style_size=8, mapper_rate=slowed_by)
        mapper = styled.Mapper(config, reduced_stylegan2.TRAITS).double()
        layers = [m for m in mapper.modules() if isinstance(m, EqualisedLinear)]
        for seed, layer in enumerate(layers):
            layer.weight.data = normal(*layer.weight.shape, seed=seed) / layer.speed
        adam = torch.optim.Adam(mapper.parameters(), lr=rate, betas=(0.0, 0.99), eps=epsilon)
        for step in range(4):
            adam.zero_grad()
            mapper(normal(4, 6, seed=step)).square().mean().backward()
            adam.step()
        after.append(effective(mapper) + [layer.bias * layer.speed for layer in layers])
    for ours, his in zip(*after, strict=True):
        torch.testing.assert_close(ours, his, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rate", [0.0, 1.5])
def test_impossible_mapper_rates(rate: float) -> None:
    with pytest.raises(ConfigError, match=rf"mapper_rate = {rate}: must lie in \(0, 1\]"):
        stylegan2.Config(mapper_rate=rate)


def test_the_authors_widths_at_128_pixels() -> None:
    assert reduced_stylegan2.Config().widths(128) == [64, 128, 256, 512, 512, 512]
