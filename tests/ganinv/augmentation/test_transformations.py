"""Transformations against references of their own, in float64: matrices, `torch`'s flips and turns.

Shapes: N images, C × H × W each, K numbers drawn for an image.
"""

import math

import pytest
import torch
from torch import Tensor

from ganinv.augmentation import colour, geometry
from ganinv.augmentation.drawing import COINS, TRANSFORMATIONS, VALUES, AugmentationDraws
from ganinv.augmentation.options import AugmentConfig
from ganinv.augmentation.transforming import augmented, colour_of, geometry_of

EVERYTHING = AugmentConfig(kind="fixed", p=1.0, cutout=1.0)
HALF, ONE = torch.tensor(0.5), torch.tensor(1.0)


def images(count: int, channels: int = 3, height: int = 6, width: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (count, channels, height, width)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1


def draws(count: int, **values: float) -> Tensor:
    """As drawn, but the given transformations act at p = ½, with the given values, and no others.

    Names that are no values say only that a transformation acts.
    """
    draws_NK = AugmentationDraws().draw(0, "test", range(count)).double()
    for name, column in COINS.items():
        acts = any(given in (name, f"{name}_x", f"{name}_y") for given in values)
        draws_NK[:, column] = 0.0 if acts else 1.0
    for name, value in values.items():
        if name in VALUES:
            draws_NK[:, VALUES[name]] = value
    return draws_NK


def changed(x_NCHW: Tensor, p: Tensor = HALF, **values: float) -> Tensor:
    return augmented(x_NCHW, draws(len(x_NCHW), **values), p, EVERYTHING)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_nothing_changes_a_bit_at_p_0(channels: int) -> None:
    x = images(16, channels)
    all_draws = AugmentationDraws().draw(0, "test", range(16))
    assert torch.equal(augmented(x, all_draws, torch.tensor(0.0), EVERYTHING), x)
    found = augmented(x, all_draws, HALF, EVERYTHING)
    assert found.shape == x.shape
    assert all(not torch.equal(found[:, channel], x[:, channel]) for channel in range(channels))


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
def test_each_has_a_gradient_and_is_neutral_where_it_does_not_act(transformation: str) -> None:
    x = images(2, 3, 4, 5)
    own = draws(2, **{transformation: 0.75})
    own[:, VALUES["shift_x"]] = 0.99  # a pixel; these images have few
    own[1, COINS[transformation]] = 1.0
    found = augmented(x, own, HALF, EVERYTHING)
    assert not torch.equal(found[0], x[0])
    assert torch.equal(found[1], x[1])
    assert torch.autograd.gradcheck(
        lambda given: augmented(given, own, HALF, EVERYTHING), x.requires_grad_(), fast_mode=True
    )


def test_flips_turns_and_shifts_are_those_of_torch() -> None:
    x = images(2)
    assert torch.equal(changed(x, flip=0.4), x)
    torch.testing.assert_close(changed(x, flip=0.6), x.flip(3), rtol=0, atol=1e-12)
    turned = x
    for turns in range(1, 5):
        turned = changed(turned, quarter=0.3)
        torch.testing.assert_close(turned, x.rot90(turns, (2, 3)), rtol=0, atol=1e-12)
        at_once = changed(x, quarter=turns % 4 / 4)
        torch.testing.assert_close(at_once, x.rot90(turns, (2, 3)), rtol=0, atol=1e-12)
    wide = images(2, width=16)
    shifted = changed(wide, shift_x=1.0, shift_y=0.5)
    torch.testing.assert_close(shifted[..., 2:], wide[..., :-2], rtol=0, atol=1e-12)
    torch.testing.assert_close(shifted[..., :2], wide[..., :2].flip(3), rtol=0, atol=1e-12)


def test_the_map_is_the_product_of_all_in_order() -> None:
    draws_NK = AugmentationDraws().draw(0, "test", range(8)).double()
    shape = images(8, 3, 32, 48)
    by = geometry_of(draws_NK, ONE, EVERYTHING, shape)
    inverse_N22, offset_N2 = geometry.toward_source(by)
    for number in range(8):
        one = {name: float(value[number]) for name, value in by._asdict().items()}
        forward = torch.eye(3, dtype=torch.float64)
        for factor in (
            matrix([1 - 2 * one["flip"], 0, 0], [0, 1, 0]),
            turn(one["quarter"] * math.pi / 2),
            matrix([1, 0, one["shift_x"]], [0, 1, one["shift_y"]]),
            matrix([one["scale"], 0, 0], [0, one["scale"], 0]),
            turn(one["turn"]),
            matrix([one["stretch"], 0, 0], [0, 1 / one["stretch"], 0]),
            turn(one["turn_again"]),
            matrix([1, 0, one["move_x"]], [0, 1, one["move_y"]]),
        ):
            forward = factor @ forward
        inverse = torch.linalg.inv(forward)
        torch.testing.assert_close(inverse_N22[number], inverse[:2, :2], rtol=0, atol=1e-12)
        torch.testing.assert_close(offset_N2[number], inverse[:2, 2], rtol=0, atol=1e-11)
    assert bool((by.shift_x.abs() <= 6).all())
    assert bool((by.shift_x == by.shift_x.round()).all())


def matrix(*rows: list[float]) -> Tensor:
    return torch.tensor([*rows, [0, 0, 1]], dtype=torch.float64)


def turn(radians: float) -> Tensor:
    """Counterclockwise, as seen with y down."""
    c, s = math.cos(radians), math.sin(radians)
    return matrix([c, s, 0], [-s, c, 0])


def test_colours_are_the_product_of_all_in_order() -> None:
    x = images(8)
    draws_NK = AugmentationDraws().draw(0, "test", range(8)).double()
    by = colour_of(draws_NK, ONE)
    found = colour.transformed(x, by)
    v = torch.full((3,), 1 / math.sqrt(3), dtype=torch.float64)
    along, unit = torch.outer(v, v), torch.eye(3, dtype=torch.float64)
    about = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) / math.sqrt(3)
    for number in range(8):
        b, c, flip, hue, s = (float(value[number]) for value in by)
        expected = (x[number].flatten(1) + b) * c
        expected = (unit - 2 * flip * along) @ expected
        expected = torch.matrix_exp(hue * about) @ expected
        expected = (along + s * (unit - along)) @ expected
        torch.testing.assert_close(found[number].flatten(1), expected, rtol=0, atol=1e-10)
        grey = colour.transformed(x[:, :1], by)[number]
        torch.testing.assert_close(
            grey, (1 - 2 * flip) * c * (x[number, :1] + b), rtol=0, atol=1e-12
        )
    assert set(by.luma.tolist()) == {0.0, 1.0}
    opaque = colour.transformed(images(8, 4), by)
    assert torch.equal(opaque[:, 3], images(8, 4)[:, 3])


def test_a_quarter_of_the_area_is_cut_out() -> None:
    found = changed(images(1, height=8, width=16), cutout_x=0.5, cutout_y=0.25)
    assert torch.equal((found == 0).all(1)[0].sum(), torch.tensor(32))
    assert bool((found[0, :, :4, 4:12] == 0).all())


def test_each_acts_with_probability_p_and_draws_are_of_the_image_alone() -> None:
    draws_NK = AugmentationDraws().draw(3, "noise/x", range(4000))
    assert torch.equal(AugmentationDraws().draw(3, "noise/x", [7, 2]), draws_NK[[7, 2]])
    p, shape = torch.tensor(0.3), images(1, 3, 64, 64)
    by = geometry_of(draws_NK, p, EVERYTHING, shape)
    turned_N = (by.turn != 0) | (by.turn_again != 0)
    shares = [
        turned_N.double().mean(),
        *((value != neutral).double().mean() for value, neutral in (
            (by.scale, 1), (by.stretch, 1), (by.move_x, 0), (by.move_y, 0),
        )),
        2 * (by.flip != 0).double().mean(),  # half of the chosen ones stay as they are
        (by.quarter != 0).double().mean() * 4 / 3,
        *((value != neutral).double().mean() for value, neutral in zip(
            colour_of(draws_NK, p)[:2], (0, 1), strict=True
        )),
    ]  # fmt: skip
    assert torch.stack(shares).tolist() == pytest.approx([0.3] * len(shares), abs=0.03)
