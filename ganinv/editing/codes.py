"""Edits of latent codes: pure functions from unscaled codes to tables of codes.

Paper: J. Cho, "Dynamic Latent Scale GAN" (DLSGAN), §4.3 and figs. 12–15. An image of an edited code
z is G(z ∘ s), that is `InvertibleGan.decode`.

Codes, values and noises are floats: tensors, NumPy arrays or lists. Gradients pass through. Every
function raises `DataError` for wrong arrays and `ConfigError` for wrong numbers.

Shapes: R codes (rows), K steps, values or noises (columns), L latent elements.
"""

import torch
from torch import Tensor

from ganinv.errors import DataError
from ganinv.inputs import Floats, floats, whole_number


def interpolated(first_RL: Floats, second_RL: Floats, steps: int) -> Tensor:
    """Linear interpolation from one code to the other, R × steps × L, both ends included.

    One of the two may be a single code, 1 × L, that belongs to all codes of the other.
    """
    whole_number(steps, "steps", 2, 2**31)
    first, second = _rows(first_RL, "first_RL"), _rows(second_RL, "second_RL")
    _check_length(first, second, "second_RL")
    if len(first) != len(second) and 1 not in (len(first), len(second)):
        raise DataError(
            f"second_RL of shape {tuple(second.shape)}: must have {len(first)} rows as first_RL, "
            "or one row"
        )
    weight_1K1 = torch.linspace(0, 1, steps, dtype=torch.float32, device=first.device)
    weight_1K1 = weight_1K1.to(first)[None, :, None]
    return first[:, None] * (1 - weight_1K1) + second.to(first)[:, None] * weight_1K1


def traversed(code_RL: Floats, element: int, value_K: Floats) -> Tensor:
    """Each code with one element set to each value, R × K × L (figs. 12–14).

    A negative `element` counts from the last.
    """
    code, values = _rows(code_RL, "code_RL"), floats(value_K, "value_K", whole=True)
    whole_number(element, "element", -code.shape[1], code.shape[1])
    if values.ndim != 1:
        raise DataError(f"value_K of shape {tuple(values.shape)}: must be a row of K values")
    code_RKL = code[:, None].repeat(1, len(values), 1)
    code_RKL[..., element] = values.to(code)
    return code_RKL


def with_noise(code_RL: Floats, noise_KL: Floats) -> Tensor:
    """Each code plus each noise, R × K × L: all codes of a column get the same noise (fig. 15)."""
    code, noise = _rows(code_RL, "code_RL"), _rows(noise_KL, "noise_KL")
    _check_length(code, noise, "noise_KL")
    return code[:, None] + noise.to(code)[None]


def _rows(values: Floats, what: str) -> Tensor:
    found = floats(values, what)
    if found.ndim != 2 or 0 in found.shape:
        raise DataError(
            f"{what} of shape {tuple(found.shape)}: must have two dimensions; pass a single code "
            "as code[None]"
        )
    return found


def _check_length(first: Tensor, other: Tensor, what: str) -> None:
    if other.shape[1] != first.shape[1]:
        raise DataError(
            f"{what} of shape {tuple(other.shape)}: must have {first.shape[1]} elements a row; "
            "pass codes of one model"
        )
