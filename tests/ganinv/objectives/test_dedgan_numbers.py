"""DEDGAN's embedding and its loss against definitions in float64, and at the ends of float32.

Shapes: N samples, E coordinates of an embedding, P pixels.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ganinv.latents.hypersphere import Hypersphere
from ganinv.networks.base import Judgement
from ganinv.objectives.adversarial import gradient_penalty
from ganinv.objectives.dedgan import embedding, embedding_loss
from tests.support.families import normal


def judged(head_NE: Tensor) -> Judgement:
    """A discriminator's outputs, the first as its adversarial value."""
    return Judgement(head_NE[:, 0], head_NE[:, 1:], head_NE)


def at_angle(angle: float, size: int) -> tuple[Tensor, Tensor]:
    """Two positive vectors of length 1 that enclose an angle below π/2, float64."""
    latent = Hypersphere(size - 1)
    target_NE = latent.to_cartesian(latent.angles(0.5 * normal(3, size - 1).double()))
    away_NE = normal(3, size, seed=1).double()
    away_NE = away_NE - (away_NE * target_NE).sum(1, keepdim=True) * target_NE
    away_NE = F.normalize(away_NE)
    return target_NE, math.cos(angle) * target_NE + math.sin(angle) * away_NE


@pytest.mark.parametrize("angle", [1e-5, 1e-4, 1e-3, 0.03, 0.5, 1.2, 1.5])
def test_the_loss_and_its_gradient_in_float32(angle: float) -> None:
    """Against tan θ, whose gradient in the direction of length 1 has the norm 1/cos² θ."""
    target_NE, direction_NE = at_angle(angle, 512)
    narrow_NE = direction_NE.float().requires_grad_()
    loss_N = embedding_loss(target_NE.float(), narrow_NE)
    tolerance = 0.02 if angle < 1e-4 else 2e-3
    torch.testing.assert_close(
        loss_N.double(), torch.full((3,), math.tan(angle), dtype=torch.float64),
        rtol=tolerance, atol=0,
    )  # fmt: skip
    wide_NE = direction_NE.clone().requires_grad_()
    perpendicular_NE = wide_NE - (wide_NE * target_NE).sum(1, keepdim=True) * target_NE
    expected_N = perpendicular_NE.norm(dim=1) / (wide_NE * target_NE).sum(1)
    (expected_NE,) = torch.autograd.grad(expected_N.sum(), wide_NE)
    (found_NE,) = torch.autograd.grad(loss_N.sum(), narrow_NE)
    difference_N = (found_NE - expected_NE).norm(dim=1) / expected_NE.norm(dim=1)
    assert float(difference_N.max()) < tolerance
    assert float(expected_NE.norm(dim=1).min()) > 0.99


@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-6])
def test_below_the_resolution_of_float32_the_gradient_is_finite(angle: float) -> None:
    """The paper's formula gives NaN there, as the last line shows."""
    target_NE, direction_NE = at_angle(angle, 512)
    narrow_NE = direction_NE.float().requires_grad_()
    loss_N = embedding_loss(target_NE.float(), narrow_NE)
    (gradient_NE,) = torch.autograd.grad(loss_N.sum(), narrow_NE)
    assert float((loss_N.detach() - angle).abs().max()) < 1.5e-6
    assert float(gradient_NE.norm(dim=1).max()) < 1.1
    cosine = torch.ones(1, requires_grad=True)  # what z_c · z′_c rounds to
    (printed,) = torch.autograd.grad(cosine.arccos().tan(), cosine)
    assert not printed.isfinite()


def test_the_embedding_is_that_of_the_paper() -> None:
    """v = ln ‖softplus(h)‖ and z′_c = softplus(h) / ‖softplus(h)‖ (Alg. 1 l. 3–6)."""
    head_NE = (4 * normal(6, 8)).double()
    found = embedding(judged(head_NE))
    expected_NE = torch.log1p(head_NE.exp())
    torch.testing.assert_close(-found.adversarial_B, expected_NE.norm(dim=1).log())
    torch.testing.assert_close(found.latent_BL, F.normalize(expected_NE))
    assert torch.equal(found.feature_BF, head_NE)


@pytest.mark.parametrize("shift", [-1e4, -300.0, -60.0, -20.0, 0.0, 60.0, 1e4])
def test_extreme_lengths_have_finite_gradients(shift: float) -> None:
    """Below −44 the squares of softplus(h) are 0 in float32, below −104 softplus(h) itself."""
    head_NE = (normal(4, 8) + shift).requires_grad_()
    found = embedding(judged(head_NE))
    wide = embedding(judged(head_NE.detach().double()))
    torch.testing.assert_close(
        found.adversarial_B.double(), wide.adversarial_B, rtol=1e-6, atol=1e-6
    )
    torch.testing.assert_close(found.latent_BL.double(), wide.latent_BL, rtol=2e-3, atol=1e-6)
    torch.testing.assert_close(found.latent_BL.norm(dim=1), torch.ones(4), rtol=2e-3, atol=0)
    total = (
        found.adversarial_B.sum()
        + embedding_loss(wide.latent_BL.float().flip(0), found.latent_BL).sum()
    )
    (gradient_NE,) = torch.autograd.grad(total, head_NE, create_graph=True)
    (again_NE,) = torch.autograd.grad(gradient_NE.square().sum(), head_NE)  # as R1 needs it
    assert bool(gradient_NE.isfinite().all())
    assert bool(again_NE.isfinite().all())


def test_r1_does_not_feel_the_length_of_the_embedding() -> None:
    """v = ln ‖z′‖, and ln ‖c z′‖ = v + ln c has the same gradient.

    Far below 0, softplus(h) is eʰ, so that a bias on h multiplies the embedding.
    """
    weight_PE = normal(12, 8).double()

    def penalty(bias: float) -> Tensor:
        image_NCHW = normal(5, 3, 2, 2, seed=1).double().requires_grad_()
        found = embedding(judged(image_NCHW.flatten(1) @ weight_PE + bias))
        return gradient_penalty(found.adversarial_B, image_NCHW).detach()

    torch.testing.assert_close(penalty(-60.0), penalty(-90.0), rtol=1e-10, atol=0)
    assert float((penalty(-60.0) - penalty(0.0)).abs().max()) > 0.1
