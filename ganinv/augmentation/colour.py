"""Transformations of colour, with the strengths of ADA (arXiv 2006.06676, appendix B).

    brightness    + N(0, 0.2²), for images in [−1, 1]
    contrast      × 2^N(0, 0.5²)
    luma flip     the grey part of a colour becomes its negative; half of the chosen images
    hue           rotation of the colours about the grey axis by U(−π, π)
    saturation    × 2^N(0, 1²) of what remains beside the grey part

They act in this order. With grey part m = (r + g + b) / 3 and rest x − m, brightness b, contrast c,
luma flip f = ±1, hue θ, saturation s and the grey axis v = (1, 1, 1) / √3,

    x ← f c (m + b) + c s (cos θ (x − m) + sin θ v × x)

The first three channels are a colour. Of one or two channels, the first is grey. Further channels
(opacity) stay as they are.

Shapes: N images, C × H × W each.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

BRIGHTNESS = 0.2
CONTRAST, SATURATION = 0.5, 1.0  # octaves


class Colour(NamedTuple):
    """Parameters by image, N each; those of a transformation that does not act are neutral."""

    brightness: Tensor
    contrast: Tensor  # factor
    luma: Tensor  # 0 or 1
    hue: Tensor  # radians
    saturation: Tensor  # factor


def transformed(images_NCHW: Tensor, by: Colour) -> Tensor:
    """The images after all transformations; to the bit the same where all are neutral."""
    channels = images_NCHW.shape[1]
    coloured = 3 if channels >= 3 else 1
    grey_N = by.contrast * (1 - 2 * by.luma)
    matrix_NKK = grey_N[:, None, None] if coloured == 1 else _of_colours(grey_N, by)
    offset_N11 = (grey_N * by.brightness)[:, None, None]
    pixels_NKP = images_NCHW[:, :coloured].flatten(2)
    found = torch.baddbmm(offset_N11, matrix_NKK, pixels_NKP).unflatten(2, images_NCHW.shape[2:])
    if channels > coloured:
        found = torch.cat([found, images_NCHW[:, coloured:]], 1)
    acts_N = (by.brightness != 0) | (by.contrast != 1) | (by.luma != 0)
    if coloured == 3:
        acts_N = acts_N | (by.hue != 0) | (by.saturation != 1)
    return torch.where(acts_N[:, None, None, None], found, images_NCHW)


def _of_colours(grey_N: Tensor, by: Colour) -> Tensor:
    """The matrix of (r, g, b), N × 3 × 3."""
    rest_N = by.contrast * by.saturation
    along_N, across_N = rest_N * by.hue.cos(), rest_N * by.hue.sin() / math.sqrt(3)
    same_N, other_N = (grey_N + 2 * along_N) / 3, (grey_N - along_N) / 3
    next_N, last_N = other_N - across_N, other_N + across_N
    rows = [same_N, next_N, last_N, last_N, same_N, next_N, next_N, last_N, same_N]
    return torch.stack(rows, 1).reshape(-1, 3, 3)
