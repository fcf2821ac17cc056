"""The adversarial loss of all the papers: NSGAN with R1.

Non-saturating loss: Goodfellow et al. 2014. R1: Mescheder et al., "Which training methods for GANs
do actually converge?" (2018), eq. 9 — here **without its ½** and on every step, as the author's
code has it: λ_r1 = 5 is StyleGAN's γ = 10. Shapes: B samples, C × H × W image.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def real_loss(adversarial_B: Tensor) -> Tensor:
    """−log sigmoid(a), per sample: small where images are taken for real."""
    return F.softplus(-adversarial_B)


def fake_loss(adversarial_B: Tensor) -> Tensor:
    """−log(1 − sigmoid(a)), per sample: small where images are taken for generated."""
    return F.softplus(adversarial_B)


def gradient_penalty(adversarial_B: Tensor, real_BCHW: Tensor) -> Tensor:
    """‖∇ₓ a‖² per sample, differentiable again; reuses the forward pass that gave `adversarial_B`.

    `real_BCHW` must require gradients. Samples do not mix in the networks, so that the gradient of
    the sum holds each sample's own.
    """
    (gradient_BCHW,) = torch.autograd.grad(adversarial_B.sum(), real_BCHW, create_graph=True)
    return gradient_BCHW.square().flatten(1).sum(1)
