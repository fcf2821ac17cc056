"""Sequences of points: strengths of a strip, ways between two images, noise on an image's code.

Shapes: K steps, B samples, L latent elements.
"""

import math
from typing import Literal

import torch

from ganinv.editing.codes import interpolated, with_noise
from ganinv.editing.edits import Editor, Points
from ganinv.errors import ConfigError
from ganinv.inputs import whole_number

Way = Literal["linear", "arc"]


def even_strengths(reach: float, steps: int) -> list[float]:
    """From −reach to reach; the middle one is exactly 0, so `steps` must be odd."""
    whole_number(steps, "steps", 3, 2**31)
    if steps % 2 == 0:
        raise ConfigError(
            f"steps = {steps}: must be odd, so that the middle one is the picture itself; give "
            f"{steps + 1}"
        )
    if not (math.isfinite(reach) and reach > 0):
        raise ConfigError(f"reach = {reach}: must be above 0")
    half = steps // 2
    return [reach * ((i - half) / half) for i in range(steps)]


@torch.no_grad()
def between(editor: Editor, first: Points, second: Points, steps: int, way: Way) -> Points:
    """The way from one image to another, both included: K points.

    `linear`: straight in the space of the points. `arc`: as the method itself interpolates codes
    (`Codec.interpolate`), which stays where its prior has its codes; it takes points with codes.
    """
    if way == "linear":
        other = editor.in_space(second, first.space)
        flat, flat_other = first.values.flatten(1), other.values.flatten(1)
        table_1KP = interpolated(flat, flat_other, steps)
        return Points(first.space, table_1KP[0].unflatten(1, first.values.shape[1:]))
    whole_number(steps, "steps", 2, 2**31)
    start, end = (editor.in_space(points, "z").values for points in (first, second))
    share_K = torch.linspace(0, 1, steps, dtype=torch.float64, device=start.device)
    code_KL = editor.model.codec.interpolate(
        start.expand(steps, -1), end.expand(steps, -1), share_K
    ).to(start.dtype)
    code_KL[0], code_KL[-1] = start[0], end[0]  # without the rounding of sines
    return Points("z", code_KL)


@torch.no_grad()
def noisy(editor: Editor, points: Points, count: int, variance: float, seed: int) -> Points:
    """One image with `count` normal noises on its code (DLSGAN fig. 15), K × L.

    Seed and number determine a noise, which is the same for all images.
    """
    code_1L = editor.in_space(points, "z").values
    noise_KL = editor.model.codec.latent.draw(seed, "edit/noise", range(count))
    return Points("z", with_noise(code_1L, math.sqrt(variance) * noise_KL.to(code_1L))[0])
