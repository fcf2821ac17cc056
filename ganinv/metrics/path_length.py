"""Perceptual path length: how much an image changes along short steps between two codes.

Paper: T. Karras et al., "A Style-Based Generator Architecture …" (StyleGAN), CVPR 2019, section
4.1:

    l = E[ d(G(path(a, b; t)), G(path(a, b; t + ε))) / ε² ],  ε = 10⁻⁴

a and b are codes of the prior. `Codec.interpolate` gives the path between them; for a normal prior
it is an arc. Where a model has styles y (W of StyleGAN), lengths are measured there, too, on the
straight line between the styles of a and b. "full" takes t uniform in [0, 1), "end" takes t = 0. As
in the authors' code, the mean leaves out the lowest and the highest 1 %, and images are not
clamped. Unlike there, images are neither cropped nor reduced. The paper takes 100,000 paths and
LPIPS on VGG16 as d. On other features, d is the mean squared difference, and the figure has their
scale.

In float32, an image has errors of about 10⁻⁶, a hundredth of such a step; d is quadratic, so that
they add about 10⁻⁴ of the figure.

Shapes: B codes of a batch, N paths, L latent elements, C × H × W image, K distances.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ganinv.codec import Codec
from ganinv.draws import stream
from ganinv.metrics.base import Figure, FurtherMetric
from ganinv.model import InvertibleGan

EPSILON = 1e-4
STYLES = "y"  # the space of styles, by its name in a codec
LEFT_OUT = 1  # percent of the paths, at either end
# Images of about [−1, 1], not clamped, B × C × H × W, and the same → B.
Distance = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def path_lengths(
    model: InvertibleGan,
    measures: Sequence[Distance],
    numbers: Sequence[int],
    seed: int,
    space: str = "z",
) -> Tensor:
    """The length at one place of each path with these numbers, B × (K full, then K end).

    `space`: z, or y where the model has it.
    """
    codec = model.codec
    a_BL, b_BL = (codec.prior(seed, f"path length/{end}", numbers).to(model.device) for end in "ab")
    drawn = [stream(seed, "path length/t", number).random() for number in numbers]
    full_B = torch.tensor(drawn, dtype=torch.float64, device=model.device)
    image_at = _straight(codec, a_BL, b_BL) if space == STYLES else _arc(codec, a_BL, b_BL)
    columns = []
    for start_B in (full_B, torch.zeros_like(full_B)):
        near_BCHW, far_BCHW = (image_at(start_B + step) for step in (0, EPSILON))
        columns += [d(near_BCHW, far_BCHW).double() / EPSILON**2 for d in measures]
    return torch.stack(columns, 1)


def figures_of(model: InvertibleGan) -> dict[str, tuple[Figure, ...]]:
    """The spaces in which path lengths of a model are measured, with the figures of each."""
    of_codes, of_styles = METRIC.figures[:2], METRIC.figures[2:]
    return {"z": of_codes} | ({STYLES: of_styles} if STYLES in model.codec.spaces else {})


def _arc(codec: Codec, a_BL: Tensor, b_BL: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda share_B: codec.decode(codec.interpolate(a_BL, b_BL, share_B).to(codec.dtype))


def _straight(codec: Codec, a_BL: Tensor, b_BL: Tensor) -> Callable[[Tensor], Tensor]:
    space = codec.spaces[STYLES]
    a_BS, b_BS = (space.of_code(code.to(codec.dtype)).double() for code in (a_BL, b_BL))
    return lambda share_B: space.decode(
        torch.lerp(a_BS, b_BS, share_B.double()[:, None]).to(codec.dtype)
    )


def mean_length(length_N: Tensor) -> float:
    """The mean without the lowest and the highest 1 %."""
    values = length_N.double().numpy()
    low = np.percentile(values, LEFT_OUT, method="lower")
    high = np.percentile(values, 100 - LEFT_OUT, method="higher")
    return float(values[(low <= values) & (values <= high)].mean())


METRIC = FurtherMetric(
    figures=(
        Figure(
            name="ppl_full",
            higher_is_better=False,
            meaning="Perceptual path length, at any place of a path",
        ),
        Figure(
            name="ppl_end",
            higher_is_better=False,
            meaning="Perceptual path length, at the start of a path",
        ),
        Figure(
            name="ppl_y_full",
            higher_is_better=False,
            meaning="Perceptual path length between styles, at any place of a path",
        ),
        Figure(
            name="ppl_y_end",
            higher_is_better=False,
            meaning="Perceptual path length between styles, at the start of a path",
        ),
    ),
    suffix="features",
)
