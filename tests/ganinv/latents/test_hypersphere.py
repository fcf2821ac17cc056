"""The perfect binary tree of DEDGAN's codes: the paper's example, lengths, the way back, poles."""

import math

import pytest
import torch
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.latents.hypersphere import LARGEST, Hypersphere
from tests.support.families import normal

HALF_PI = math.pi / 2
SIZES = [2**k - 1 for k in range(1, 13)]


def angles(count: int, size: int, seed: int = 0) -> Tensor:
    """U(0, π/2), float32."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, size, generator=generator) * HALF_PI


def test_the_paper_s_example_of_eight_coordinates() -> None:
    """§3 prints them with φ, then φ₀ and φ₁, then φ₀₀ to φ₁₁: level order."""
    angle_BL = angles(5, 7).double()
    p, p0, p1, p00, p01, p10, p11 = angle_BL.unbind(1)
    sin, cos = torch.sin, torch.cos
    printed = [
        sin(p) * sin(p0) * sin(p00),
        sin(p) * sin(p0) * cos(p00),
        sin(p) * cos(p0) * sin(p01),
        sin(p) * cos(p0) * cos(p01),
        cos(p) * sin(p1) * sin(p10),
        cos(p) * sin(p1) * cos(p10),
        cos(p) * cos(p1) * sin(p11),
        cos(p) * cos(p1) * cos(p11),
    ]
    found_BC = Hypersphere(7).to_cartesian(angle_BL)
    torch.testing.assert_close(found_BC, torch.stack(printed, 1), rtol=1e-15, atol=0)


@pytest.mark.parametrize("size", SIZES)
def test_points_have_length_one_and_lead_back_in_float32(size: int) -> None:
    latent = Hypersphere(size)
    angle_BL = angles(20, size)
    point_BC = latent.to_cartesian(angle_BL)
    assert point_BC.shape == (20, size + 1)
    assert bool((point_BC > 0).all())
    torch.testing.assert_close(point_BC.norm(dim=1), torch.ones(20), rtol=1e-6, atol=0)
    back_BL = latent.to_spherical(point_BC * 7.5)  # only the direction counts
    torch.testing.assert_close(back_BL, angle_BL, rtol=0, atol=1e-6)


def test_codes_lead_to_angles_and_back() -> None:
    latent = Hypersphere(63)
    code_BL = normal(200, 63).clamp(-3.5, 3.5)
    angle_BL = latent.angles(code_BL)
    uniform = torch.linspace(0, HALF_PI, 9)[1:-1]
    expected = uniform / HALF_PI  # U(0, π/2), as line 1 of Algorithm 1 draws it
    share = (angle_BL[..., None] < uniform).double().mean((0, 1))
    torch.testing.assert_close(share, expected.double(), rtol=0, atol=0.02)
    torch.testing.assert_close(latent.code(angle_BL), code_BL, rtol=0, atol=1e-3)


def test_recovered_codes_stay_finite_at_the_poles() -> None:
    latent = Hypersphere(3)
    found_BL = latent.code(torch.tensor([[0.0, HALF_PI, HALF_PI / 2]]))
    expected = torch.tensor([[-4.7534, 4.7534, 0.0]])
    torch.testing.assert_close(found_BL, expected, rtol=0, atol=1e-2)


@pytest.mark.parametrize("size", [7, 511])
@pytest.mark.parametrize("pole", [0.0, HALF_PI, 1e-6, HALF_PI - 1e-6])
def test_gradients_at_the_poles_are_finite(pole: float, size: int) -> None:
    """In both directions, also where coordinates are 0 or their squares are no float32."""
    latent = Hypersphere(size)
    angle_BL = angles(2, size)
    angle_BL[:, ::2] = pole
    angle_BL.requires_grad_()
    point_BC = latent.to_cartesian(angle_BL)
    (slope_BL,) = torch.autograd.grad(point_BC[:, ::3].sum(), angle_BL)
    assert bool(slope_BL.isfinite().all())
    point_BC = point_BC.detach().requires_grad_()
    (slope_BC,) = torch.autograd.grad(latent.code(latent.to_spherical(point_BC)).sum(), point_BC)
    assert bool(slope_BC.isfinite().all())


@pytest.mark.parametrize("size", [7, 63])
def test_masses_are_the_squared_lengths_below_the_nodes(size: int) -> None:
    """By definition, from the coordinates; and how far an angle's step moves the point."""
    latent = Hypersphere(size)
    angle_BL = angles(3, size).double()
    square_BC = latent.to_cartesian(angle_BL).square()
    levels = [square_BC.unflatten(1, (2**level, -1)).sum(2) for level in range(size.bit_length())]
    mass_BL = latent.masses(angle_BL)
    torch.testing.assert_close(mass_BL, torch.cat(levels, 1))
    jacobian = torch.autograd.functional.jacobian(
        lambda one_L: latent.to_cartesian(one_L[None])[0], angle_BL[0]
    )
    metric_LL = jacobian.T @ jacobian
    torch.testing.assert_close(metric_LL, torch.diag(mass_BL[0]), rtol=1e-12, atol=1e-12)


def test_the_error_of_codes_is_the_tangent_of_their_angle() -> None:
    latent = Hypersphere(15)
    code_BL, other_BL = normal(6, 15), normal(6, 15, seed=1)
    a_BC, b_BC = (latent.to_cartesian(latent.angles(c.double())) for c in (code_BL, other_BL))
    expected_B = torch.nn.functional.cosine_similarity(a_BC, b_BC).arccos().tan()
    torch.testing.assert_close(latent.error(code_BL, other_BL, {}), expected_B)
    assert latent.error(code_BL, code_BL, {}).tolist() == [0.0] * 6
    near_BL = code_BL.double()
    near_BL[:, 0] += 1e-9  # the root has mass 1, so the point moves as far as its angle
    angle_B = (latent.angles(near_BL) - latent.angles(code_BL.double()))[:, 0]
    torch.testing.assert_close(
        latent.error(code_BL.double(), near_BL, {}), angle_B, rtol=1e-5, atol=0
    )


def test_an_encoder_without_information_has_the_error_of_the_centre() -> None:
    """The cosine of a code with the centre is (4 / π√2)ᵏ in the mean, and no constant is nearer."""
    for k in (3, 6, 9):
        latent = Hypersphere(2**k - 1)
        at_the_mean = math.tan(math.acos((4 / (math.pi * math.sqrt(2))) ** k))
        assert 1.0 < latent.uninformed_error() / at_the_mean < 1.06
    latent = Hypersphere(7)
    code_NL = latent.draw(1, "codes", range(2000))
    for constant in (normal(1, 7), 0.3 * normal(1, 7, seed=1)):
        assert float(latent.error(code_NL, constant, {}).mean()) > latent.uninformed_error()


def test_ways_between_codes_keep_the_prior() -> None:
    """n stays N(0, I) on them; on the great circle of z_c it would not. Opposite codes have one."""
    latent = Hypersphere(63)
    code_BL, other_BL = (latent.draw(0, end, range(200)).double() for end in "ab")
    halfway_BL = latent.interpolate(code_BL, other_BL, torch.full((200,), 0.5))
    assert float(halfway_BL.square().mean()) == pytest.approx(1.0, abs=0.05)
    both = (latent.to_cartesian(latent.angles(codes)) for codes in (code_BL, other_BL))
    circle_BL = latent.code(latent.to_spherical(sum(both, torch.zeros(1))))
    assert float(circle_BL.square().mean()) < 0.7
    opposite_BL = latent.interpolate(code_BL, -code_BL, torch.full((200,), 0.25))
    torch.testing.assert_close(opposite_BL, code_BL / 2, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_complete_trees_are_accepted(size: int) -> None:
    assert 2 ** Hypersphere(size).levels == size + 1


@pytest.mark.parametrize(
    ("size", "choices"),
    [
        (2, "choose 1 or 3"),
        (6, "choose 3 or 7"),
        (512, "choose 511 or 1023"),
        (4094, "choose 2047 or 4095"),
        (4096, "choose 4095"),
        (8191, "choose 4095"),
        (0, "choose 1"),
    ],
)
def test_other_sizes_are_refused_with_their_neighbours(size: int, choices: str) -> None:
    with pytest.raises(ConfigError, match=rf"network\.latent_size = {size}: .*{choices}$"):
        Hypersphere(size)
    assert max(SIZES) == LARGEST
