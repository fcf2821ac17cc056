"""Sliced Wasserstein distance between patches on the levels of a Laplacian pyramid.

Paper: T. Karras et al., "Progressive Growing of GANs …" (ProGAN), ICLR 2018, section 5; where the
paper is silent, the authors' code. Each image gives 128 patches of 7 × 7 pixels on every level,
from full size to 16 pixels. The channels of all real patches, and apart from them of all generated
ones, get mean 0 and variance 1. The figure of a level is 10³ times the mean |sorted difference|
(W₁) along 4 × 128 random directions; the figure of all levels is their mean. `swd.py` is another
quantity.

The paper takes 16,384 images of either set. Patches of a level and set take 75 KB an image, so they
stay with the rank that made the image; ranks exchange only what they project.

Shapes: B images, N images of a set, P patches, C channels, H × W pixels, D directions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ganinv.draws import stream
from ganinv.metrics.base import Figure, FurtherMetric
from ganinv.metrics.ranks import ALONE, Ranks
from ganinv.pictures import to_rgb_bytes

MOST_IMAGES = 16_384  # of either set
LEAST_PIXELS = 16  # per side, of the last level
PATCHES = 128  # an image and level
SIDE = 7  # pixels
DIRECTIONS = 4 * 128
BLOCK = 16  # directions that the ranks exchange and sort at once
IMAGES = 32  # whose pyramids are in memory at once
LEAST_SPREAD = 1e-12  # a channel without any spread stays at 0
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # the pyramid's filter, along each axis


@dataclass
class OwnImages:
    """The images that this rank made of a set; each has a number below `MOST_IMAGES`."""

    purpose: str  # of the random places of patches
    numbers: list[int] = field(default_factory=list)
    byte_BCHW: list[Tensor] = field(default_factory=list)

    def put(self, numbers: Sequence[int], byte_BCHW: Tensor) -> None:
        """Keep the images, uint8, as RGB; those beyond `MOST_IMAGES` are not used."""
        kept = [place for place, number in enumerate(numbers) if number < MOST_IMAGES]
        self.numbers += [numbers[place] for place in kept]
        self.byte_BCHW += to_rgb_bytes(byte_BCHW[kept]).cpu().split(1)

    def patches(self, depth: int, seed: int, device: torch.device) -> Tensor:
        """The patches of a level, (images · 128) × C × 49, float32, image by image."""
        found = [torch.zeros(0, 3, SIDE**2, device=device)]
        for first in range(0, len(self.numbers), IMAGES):
            some = slice(first, first + IMAGES)
            image_BCHW = torch.cat(self.byte_BCHW[some]).to(device)
            level_BCHW = pyramid_level(image_BCHW.float(), depth)
            place_BP2 = np.stack([self._places(n, level_BCHW, seed) for n in self.numbers[some]])
            found.append(cut(level_BCHW, torch.from_numpy(place_BP2).to(device)))
        return torch.cat(found[1:] or found)

    def _places(self, number: int, level_BCHW: Tensor, seed: int) -> NDArray[np.int64]:
        """The upper left corners of an image's patches, P × 2, uniform; decided by `seed`."""
        height, width = level_BCHW.shape[2:]
        draw = stream(seed, f"swd_patches/{self.purpose}/{height}", number)
        return draw.integers(0, (height - SIDE + 1, width - SIDE + 1), size=(PATCHES, 2))


def levels(height: int, width: int) -> list[int]:
    """The shorter sides of the pyramid's levels, largest first; none for images below 16 pixels.

    A side that is odd ends the pyramid, because the next level would not fit below it.
    """
    found = []
    while min(height, width) >= LEAST_PIXELS:
        found.append(min(height, width))
        if height % 2 or width % 2:
            break
        height, width = height // 2, width // 2
    return found


def pyramid_level(image_BCHW: Tensor, depth: int) -> Tensor:
    """A level of the Laplacian pyramid; 0 is the full size, and the last level is not subtracted.

    OpenCV's `pyrDown` and `pyrUp` with mirrored borders.
    """
    last = len(levels(*image_BCHW.shape[2:])) - 1
    for _ in range(depth):
        image_BCHW = _filtered(image_BCHW)[:, :, ::2, ::2]
    if depth == last:
        return image_BCHW
    smaller_BCHW = _filtered(image_BCHW)[:, :, ::2, ::2]
    wide_BCHW = torch.zeros_like(image_BCHW)
    wide_BCHW[:, :, ::2, ::2] = 4 * smaller_BCHW
    return image_BCHW - _filtered(wide_BCHW)


def _filtered(image_BCHW: Tensor) -> Tensor:
    weight = image_BCHW.new_tensor(BINOMIAL)
    kernel = weight.outer(weight)[None, None]
    batch, channels, height, width = image_BCHW.shape
    planes = functional.pad(image_BCHW, (2, 2, 2, 2), mode="reflect").flatten(0, 1)[:, None]
    return functional.conv2d(planes, kernel).view(batch, channels, height, width)


def cut(level_BCHW: Tensor, corner_BP2: Tensor) -> Tensor:
    """The patches of 7 × 7 pixels with these upper left corners, (B · P) × C × 49."""
    batch, channels, _, width = level_BCHW.shape
    step = torch.arange(SIDE, device=level_BCHW.device)
    row, column = (
        corner_BP2[..., 0, None, None] + step[:, None],
        corner_BP2[..., 1, None, None] + step,
    )
    pixel = (row * width + column).view(batch, 1, -1).expand(batch, channels, -1)
    found = level_BCHW.flatten(2).gather(2, pixel)
    return found.view(batch, channels, -1, SIDE**2).transpose(1, 2).flatten(0, 1)


def patch_distances(
    real: OwnImages,
    fake: OwnImages,
    places: tuple[Sequence[int], Sequence[int]],
    *,
    count: int,
    sides: Sequence[int],
    seed: int,
    ranks: Ranks = ALONE,
    device: torch.device | str = "cpu",
) -> dict[int, float]:
    """The figure of each level, by its shorter side. All ranks call this together.

    `places`: where this rank's images stand among the first `count` images of both sets; images
    beyond them are left out. `sides`: as `levels` gives them.
    """
    direction_DF = directions(seed).to(device)
    found = {}
    for depth, side in enumerate(sides):
        both = [
            _standardised(own, place, depth, count=count, seed=seed, ranks=ranks, device=device)
            for own, place in zip((real, fake), places, strict=True)
        ]
        distance_D = torch.zeros(DIRECTIONS, dtype=torch.float64)
        for first in range(0, DIRECTIONS, BLOCK):
            some_DF = direction_DF[first : first + BLOCK]
            sorted_DP = [
                _sorted(
                    _projected(patch_PF, place, some_DF, count, ranks)[ranks.rank :: ranks.world]
                )
                for patch_PF, place in both
            ]
            mine = torch.arange(first, first + len(some_DF))[ranks.rank :: ranks.world]
            difference_DP = (sorted_DP[0] - sorted_DP[1]).abs()
            distance_D[mine] = difference_DP.mean(1, dtype=torch.float64).cpu()
        found[side] = 1000 * float(ranks.total(distance_D).mean())
    return found


def directions(seed: int) -> Tensor:
    """4 × 128 unit vectors, uniform on the sphere, D × (C · 49), float32; decided by `seed`."""
    drawn = stream(seed, "swd_patches/directions", 0).standard_normal((DIRECTIONS, 3 * SIDE**2))
    return functional.normalize(torch.from_numpy(drawn)).float()


def _standardised(
    own: OwnImages,
    places: Sequence[int],
    depth: int,
    *,
    count: int,
    seed: int,
    ranks: Ranks,
    device: torch.device | str,
) -> tuple[Tensor, Tensor]:
    """This rank's patches, P × (C · 49), and their rows among all patches of the set."""
    place_N = torch.tensor(places, dtype=torch.int64)
    used_N = place_N < count
    patch_PCS = own.patches(depth, seed, torch.device(device))
    if not used_N.all():
        patch_PCS = patch_PCS[used_N.repeat_interleave(PATCHES).to(patch_PCS.device)]
    values = count * PATCHES * SIDE**2
    mean_C = ranks.total(patch_PCS.sum((0, 2), dtype=torch.float64)) / values
    patch_PCS -= mean_C[:, None].float()
    variance_C = ranks.total(patch_PCS.square().sum((0, 2), dtype=torch.float64)) / values
    patch_PCS /= variance_C[:, None].sqrt().clamp(min=LEAST_SPREAD).float()
    row_P = place_N[used_N][:, None] * PATCHES + torch.arange(PATCHES)
    return patch_PCS.flatten(1), row_P.flatten().to(patch_PCS.device)


def _projected(
    patch_PF: Tensor, row_P: Tensor, direction_DF: Tensor, count: int, ranks: Ranks
) -> Tensor:
    """The components of all ranks' patches along the directions, D × (count · 128)."""
    found = patch_PF.new_zeros(len(direction_DF), count * PATCHES)
    found[:, row_P] = direction_DF @ patch_PF.T
    return ranks.total(found)


def _sorted(value_DP: Tensor) -> Tensor:
    """Each row sorted. On a CPU by NumPy, whose sort of floats is many times as fast."""
    if value_DP.device.type != "cpu":
        return value_DP.sort(1).values
    return torch.from_numpy(np.sort(value_DP.numpy(), 1))


METRIC = FurtherMetric(
    figures=(
        Figure(
            name="swd_patches",
            higher_is_better=False,
            meaning="Sliced Wasserstein distance of patches, × 10³",
        ),
    ),
    suffix="levels",
)
