"""Geometric transformations of images, with the strengths of ADA (arXiv 2006.06676, appendix B).

    x-flip                 half of the chosen images
    rotation by 90°        k quarter turns, k ∈ {0, 1, 2, 3}
    integer translation    U(−1/8, 1/8) of width and height, to whole pixels
    scale                  2^N(0, 0.2²)
    rotation               U(−π, π), before and after the anisotropic scale
    anisotropic scale      2^N(0, 0.2²) of x, its inverse of y
    translation            N(0, 1/8²) of width and height

They act in this order. Their product is one affine map, so each image is resampled once: with
bicubic interpolation and mirrored borders, where the authors' code interpolates linearly at twice
the resolution, between two wavelet filters.

Shapes: N images, C × H × W each. Coordinates are (x, y) in pixels from the centre, y down.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

SCALE, MOVE, SHIFT = 0.2, 0.125, 0.125  # octaves; shares of width and height


class Geometry(NamedTuple):
    """Parameters by image, N each; those of a transformation that does not act are neutral."""

    flip: Tensor  # 0 or 1
    quarter: Tensor  # quarter turns, 0 to 3, counterclockwise
    shift_x: Tensor  # pixels, whole
    shift_y: Tensor
    scale: Tensor  # factor
    turn: Tensor  # radians
    stretch: Tensor  # factor
    turn_again: Tensor  # radians
    move_x: Tensor  # pixels
    move_y: Tensor


def transformed(images_NCHW: Tensor, by: Geometry) -> Tensor:
    """The images after all transformations; to the bit the same where all are neutral."""
    height, width = images_NCHW.shape[2:]
    inverse_N22, offset_N2 = toward_source(by)
    half_2 = torch.stack(  # of the sides: `affine_grid` has coordinates from −1 to 1
        [images_NCHW.new_full((), width / 2), images_NCHW.new_full((), height / 2)]
    )
    theta_N23 = torch.cat([inverse_N22 * half_2, offset_N2[:, :, None]], 2) / half_2[:, None]
    grid = F.affine_grid(theta_N23, list(images_NCHW.shape), align_corners=False)
    found = F.grid_sample(
        images_NCHW, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    unit_22 = torch.eye(2, dtype=inverse_N22.dtype, device=inverse_N22.device)
    moved_N = (inverse_N22 != unit_22).flatten(1).any(1) | (offset_N2 != 0).any(1)
    return torch.where(moved_N[:, None, None, None], found, images_NCHW)


def toward_source(by: Geometry) -> tuple[Tensor, Tensor]:
    """The inverse map: source = A target + b, A as N × 2 × 2 and b as N × 2."""
    # target = move + turn_again · stretch · turn · scale (shift + quarter · flip · source)
    turned_N22 = _rotation(by.turn.cos(), -by.turn.sin())
    turned_again_N22 = _rotation(by.turn_again.cos(), -by.turn_again.sin())
    stretch_N2 = torch.stack([1 / by.stretch, by.stretch], 1)
    general_N22 = turned_N22 @ (stretch_N2[:, :, None] * turned_again_N22)
    general_N22 = general_N22 / by.scale[:, None, None]
    cosine_N = (by.quarter == 0).to(by.flip) - (by.quarter == 2).to(by.flip)
    sine_N = (by.quarter == 1).to(by.flip) - (by.quarter == 3).to(by.flip)
    signs_N2 = torch.stack([1 - 2 * by.flip, torch.ones_like(by.flip)], 1)
    blit_N22 = signs_N2[:, :, None] * _rotation(cosine_N, -sine_N)
    shift_N21 = torch.stack([by.shift_x, by.shift_y], 1)[:, :, None]
    move_N21 = torch.stack([by.move_x, by.move_y], 1)[:, :, None]
    inverse_N22 = blit_N22 @ general_N22
    return inverse_N22, -(blit_N22 @ shift_N21 + inverse_N22 @ move_N21)[:, :, 0]


def _rotation(cosine_N: Tensor, sine_N: Tensor) -> Tensor:
    """By an angle counterclockwise, as seen with y down, N × 2 × 2."""
    return torch.stack([cosine_N, sine_N, -sine_N, cosine_N], 1).reshape(-1, 2, 2)


def whole_pixels(uniform_N: Tensor, side: int) -> Tensor:
    """A translation of `SHIFT` of the side at most."""
    return ((2 * uniform_N - 1) * (SHIFT * side)).round()


def angle(uniform_N: Tensor) -> Tensor:
    """U(−π, π)."""
    return (2 * uniform_N - 1) * math.pi
