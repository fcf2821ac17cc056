"""Equalised learning rates and unit-variance activations, in every layer of every network family.

Shapes: B samples, C × H × W image.
"""

import math
from collections.abc import Iterator
from typing import TypeAlias

import pytest
import torch
from torch import Tensor, nn

from ganinv.networks.conv import EqualisedStem
from ganinv.networks.layers import (
    BlurredDownConv,
    BlurredUpConv,
    EqualisedConv,
    EqualisedLinear,
    drawn_weights,
)
from tests.support.families import INTEGRATED, build, normal

# R3GAN has none of this: its weights have the sizes that a rate of 2e-4 expects.
families = pytest.mark.parametrize("name", [name for name in INTEGRATED if name != "r3gan"])
SIZES = {"latent_size": 64, "width": 32, "max_width": 64}
GAINS = (1.0, math.sqrt(2), 2.0)  # none, He et al.'s for ReLUs, the author's of 2021
MANY = 1000  # numbers whose mean square is known to some per cent
RESAMPLING = (BlurredUpConv, BlurredDownConv)  # a blur takes away what is not smooth


Equalised: TypeAlias = EqualisedConv | EqualisedLinear | EqualisedStem


def equalised(network: nn.Module) -> Iterator[tuple[str, Equalised]]:
    for name, module in network.named_modules():
        if isinstance(module, EqualisedConv | EqualisedLinear | EqualisedStem):
            yield name, module


def fan_in(layer: nn.Module) -> int:
    """How many products each output is a sum of."""
    if isinstance(layer, EqualisedStem):
        return int(layer.weight.shape[1])  # each pixel sees one tap of the kernel
    return int(layer.weight[0].numel())


def gain(layer: Equalised) -> float:
    """Standard deviation of an output for inputs of mean square 1."""
    speed = layer.speed if isinstance(layer, EqualisedLinear) else 1.0
    return layer.rate / speed * math.sqrt(fan_in(layer))


def mean_square(x: Tensor) -> float:
    return float(x.detach().square().mean())


@families
def test_weights_are_stored_alike_and_scaled_by_their_fan_in(name: str) -> None:
    """So that steps of one size, as Adam's are, move every layer's weights in proportion."""
    for network in build(name, resolution=32, **SIZES).values():
        for at, layer in equalised(network):
            speed = getattr(layer, "speed", 1.0)
            if layer.weight.numel() > MANY:
                assert mean_square(layer.weight * speed) == pytest.approx(1, rel=0.2), at
            assert any(gain(layer) == pytest.approx(known) for known in GAINS), at


@families
def test_every_weight_belongs_to_such_a_layer(name: str) -> None:
    """All but biases and the learned constant that a style-based generator starts from."""
    for network in build(name).values():
        owned = {f"{at}.weight" for at, _ in equalised(network)}
        shaped = {at for at, p in network.named_parameters() if p.ndim > 1}
        assert shaped - owned <= {"start_CHW"}
        assert owned <= shaped


@families
def test_adam_moves_every_layer_in_proportion_to_its_weights(name: str) -> None:
    """The first step is ± the rate wherever there is a gradient: what counts is rate / size."""
    arguments = {"g": normal(4, 64), "d": normal(4, 3, 16, 16)}
    for called, network in build(name, resolution=16, **SIZES).items():
        layers = dict(equalised(network))
        before = {at: (layer.weight * layer.rate).detach() for at, layer in layers.items()}
        adam = torch.optim.Adam(network.parameters(), lr=0.01, betas=(0.0, 0.99), eps=1e-30)
        output = network(arguments[called])
        images = output if isinstance(output, Tensor) else torch.cat([o.flatten() for o in output])
        images.square().sum().backward()
        adam.step()
        for at, layer in layers.items():
            moved = mean_square(layer.weight * layer.rate - before[at]) ** 0.5
            size = gain(layer) / math.sqrt(fan_in(layer))  # of a weight
            speed = getattr(layer, "speed", 1.0)
            assert moved / size == pytest.approx(0.01 * speed, rel=0.05), at


@families
def test_activations_keep_their_mean_square_at_the_start(name: str) -> None:
    """Of every layer the output has (gain × factor)² times the mean square of its input."""
    ratios: dict[str, float] = {}

    def note(at: str, layer: EqualisedConv | EqualisedLinear) -> None:
        def hook(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            centred = output.detach()
            if layer.bias is not None:  # modulations start at 1
                bias = layer.bias * getattr(layer, "speed", 1.0)
                centred = centred - bias.reshape(-1, *[1] * (output.ndim - 2))
            amplitude = gain(layer) * getattr(layer, "factor", 1.0)
            ratios[at] = mean_square(centred) / (amplitude**2 * mean_square(inputs[0]))

        layer.register_forward_hook(hook)

    arguments = {"g": normal(8, 64), "d": normal(8, 3, 32, 32)}
    for called, network in build(name, resolution=32, **SIZES).items():
        for at, layer in equalised(network):
            if layer.weight.shape[0] >= SIZES["width"] and not isinstance(layer, RESAMPLING):
                note(at, layer)
        network(arguments[called])
    assert len(ratios) > 8
    # Zero padding takes up to a third of what a 3 × 3 kernel sees of a 4 × 4 image; the rest is
    # chance: inputs share a direction, and some tens of outputs are few.
    assert {at: r for at, r in ratios.items() if not 0.5 < r < 1.6} == {}


def test_drawn_weights_are_the_bits_of_randn() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        expected = torch.randn(37, 5, 3, 3) / 0.01
        torch.manual_seed(3)
        assert torch.equal(drawn_weights(37, 5, 3, 3, divisor=0.01), expected)
