"""Edits of latent codes: pure functions from unscaled codes to tables of codes.

Paper: J. Cho, "Dynamic Latent Scale GAN" (DLSGAN), §4.3 and figs. 12–15. An image of an edited code
z is G(z ∘ s), that is `InvertibleGan.decode`.

Shapes: R codes (rows), K steps, values or noises (columns), L latent elements.
"""

import torch
from torch import Tensor


def interpolated(first_RL: Tensor, second_RL: Tensor, steps: int) -> Tensor:
    """Linear interpolation from one code to the other, R × steps × L, both ends included."""
    weight_1K1 = torch.linspace(0, 1, steps).to(first_RL)[None, :, None]
    return first_RL[:, None] * (1 - weight_1K1) + second_RL[:, None] * weight_1K1


def traversed(code_RL: Tensor, element: int, value_K: Tensor) -> Tensor:
    """Each code with one element set to each value, R × K × L (figs. 12–14)."""
    code_RKL = code_RL[:, None].repeat(1, len(value_K), 1)
    code_RKL[..., element] = value_K.to(code_RL)
    return code_RKL


def with_noise(code_RL: Tensor, noise_KL: Tensor) -> Tensor:
    """Each code plus each noise, R × K × L: all codes of a column get the same noise (fig. 15)."""
    return code_RL[:, None] + noise_KL[None]
