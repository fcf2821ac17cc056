"""Perceptual path length where it is known: linear generators, arcs, outliers.

Shapes: B codes, L latent elements, C × H × W image.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganinv.codec import Codec
from ganinv.draws import stream
from ganinv.latents.normal import StandardNormal
from ganinv.latents.spaces import Space
from ganinv.metrics.path_length import EPSILON, figures_of, mean_length, path_lengths
from ganinv.model import InvertibleGan

SEED = 4
L = 12


@dataclass(frozen=True, kw_only=True)
class Linear(Codec):
    """Images are W z, unclamped, so that a path in codes is known as a path in images."""

    def decode(self, code_BL: Tensor) -> Tensor:
        image: Tensor = self.networks["g"](code_BL)
        return image.view(len(code_BL), 3, 2, 2)


def linear() -> InvertibleGan:
    torch.manual_seed(1)
    network = nn.Linear(L, 12, bias=False).double()
    return InvertibleGan(codec=Linear(latent=StandardNormal(L), networks={"g": network}))


def squared(image_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
    return (image_BCHW - other_BCHW).square().flatten(1).sum(1)


def arc(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """White (2016), written out."""
    omega = math.acos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    return (math.sin((1 - t) * omega) * a + math.sin(t * omega) * b) / math.sin(omega)


def test_paths_are_arcs_between_codes_of_the_prior() -> None:
    codec = linear().codec
    a_BL, b_BL = torch.randn(4, L), torch.randn(4, L) * 1.5
    for share in (0.0, 0.3, 1.0):
        found = codec.interpolate(a_BL, b_BL, torch.full((4,), share, dtype=torch.float64))
        ends = zip(a_BL.double().numpy(), b_BL.double().numpy(), strict=True)
        np.testing.assert_allclose(found, [arc(a, b, share) for a, b in ends], atol=1e-9)
    lengths = codec.interpolate(a_BL, a_BL.flip(1) * -1, torch.full((4,), 0.5)).norm(dim=1)
    assert (lengths > 0.5 * a_BL.norm(dim=1)).all(), "an arc does not pass near the origin"


def test_codes_of_one_direction_have_a_straight_path() -> None:
    codec, a_BL = linear().codec, torch.randn(3, L)
    same = codec.interpolate(a_BL, a_BL, torch.full((3,), 0.4))
    torch.testing.assert_close(same, a_BL.double())
    opposite = codec.interpolate(a_BL, -a_BL, torch.full((3,), 0.25))
    torch.testing.assert_close(opposite, a_BL.double() / 2, rtol=1e-4, atol=1e-4)


def test_lengths_of_a_linear_generator_are_those_of_its_arcs() -> None:
    """‖W dz/dt‖², by the derivative of the arc at t = 0, and by the difference at any t."""
    model = linear()
    length_B2 = path_lengths(model, [squared], range(5), SEED)
    assert length_B2.shape == (5, 2)
    weight = model.codec.networks["g"].weight.detach().numpy()  # type: ignore[union-attr]
    for number in range(5):
        a, b = (
            model.codec.latent.draw(SEED, f"path length/{end}", [number])[0].double().numpy()
            for end in ("a", "b")
        )
        omega = math.acos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        slope = omega * (b - math.cos(omega) * a) / math.sin(omega)
        expected = np.square(weight @ slope).sum()
        assert float(length_B2[number, 1]) == pytest.approx(expected, rel=1e-3)
        t = stream(SEED, "path length/t", number).random()
        near, far = (weight @ arc(a, b, at) for at in (t, t + EPSILON))
        expected = np.square(far - near).sum() / EPSILON**2
        assert float(length_B2[number, 0]) == pytest.approx(expected, rel=1e-6)


@dataclass(frozen=True, kw_only=True)
class Styled(Linear):
    """Images are W tanh(z): the style is tanh(z)."""

    def decode(self, code_BL: Tensor) -> Tensor:
        return super().decode(code_BL.tanh())

    @property
    def spaces(self) -> Mapping[str, Space]:
        return {
            **super().spaces,
            "y": Space(title="style", of_code=torch.tanh, decode=super().decode),
        }


def test_paths_between_styles_are_straight() -> None:
    plain = linear().codec
    codec = Styled(latent=plain.latent, networks=plain.networks)
    length_B2 = path_lengths(InvertibleGan(codec=codec), [squared], range(5), SEED, "y")
    a_BL, b_BL = (codec.prior(SEED, f"path length/{end}", range(5)) for end in ("a", "b"))
    way = Linear.decode(codec, b_BL.double().tanh() - a_BL.double().tanh())
    expected_B = way.detach().square().flatten(1).sum(1)
    torch.testing.assert_close(length_B2, expected_B[:, None].expand(-1, 2), rtol=1e-3, atol=0)
    assert list(figures_of(InvertibleGan(codec=codec))) == ["z", "y"]
    assert list(figures_of(linear())) == ["z"]


def test_a_path_depends_on_its_number_alone() -> None:
    model = linear()
    whole = path_lengths(model, [squared], range(6), SEED)
    torch.testing.assert_close(path_lengths(model, [squared], range(2, 4), SEED), whole[2:4])
    assert not torch.equal(path_lengths(model, [squared], range(6), SEED + 1), whole)


def test_several_distances_are_measured_on_the_same_paths() -> None:
    model = linear()
    both = path_lengths(model, [squared, lambda x, y: 3 * squared(x, y)], range(4), SEED)
    torch.testing.assert_close(both[:, [1, 3]], 3 * both[:, [0, 2]])


def test_the_highest_and_lowest_percent_are_left_out() -> None:
    lengths = torch.cat([torch.full((2,), 1e9), torch.ones(196) * 5, torch.zeros(2)])
    assert mean_length(lengths) > 5, "the percentiles themselves count, as in the authors' code"
    lengths = torch.cat([torch.full((1,), 1e9), torch.ones(399) * 5])
    assert mean_length(lengths) == pytest.approx(5)
    assert mean_length(torch.tensor([1.0, 3.0])) == 2
