"""Discs: one ellipse on a grey background, drawn from 8 independent factors that are known exactly.

So the dimension of the data is known, and what a model says about an image can be compared with
what was drawn. Each factor is uniform in [−1, 1] and an attribute of its image:

| factor | what it decides |
|---|---|
| x, y | centre: −1 and 1 are 0.4 of the distance from the centre of the image to its border |
| radius | geometric mean of the semi-axes, 0.2 to 0.42 of half the shorter side |
| aspect | semi-axis along x : along y = 2 ** aspect, at equal area |
| red, green, blue | colour of the disc, 112 to 255 in each channel |
| background | grey of the background, 0 to 72 |

No disc crosses the border, and each is at least 40 levels brighter than its background in every
channel, so that every factor can be read off every image. Edges are antialiased.
"""

import functools
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.shards.splits import split_of
from datasets.sources.base import BuildOptions, Inputs, Sample, Source, Work
from datasets.sources.geometry import Geometry
from ganinv.errors import ConfigError

FACTORS = ("x", "y", "radius", "aspect", "red", "green", "blue", "background")

_DEFAULT_IMAGES = 8192
_MIN_SIDE = 16  # pixels; below, the smallest discs have hardly more than one pixel
_REACH = 0.4
_RADII = (0.2, 0.42)
_COLOURS = (112.0, 255.0)
_BACKGROUNDS = (0.0, 72.0)
_WORK_PIXELS = 2**18  # per call of work: a few MB of memory


class DiscSource(Source):
    """`images` (8192 by default) discs. Each depends only on the seed and its number."""

    def __init__(self, options: BuildOptions) -> None:
        """Raises `ConfigError` if the images are too small to show the factors."""
        self._geometry = options.geometry
        if min(self._geometry.width, self._geometry.height) < _MIN_SIDE:
            raise ConfigError(
                f"data.resolution={options.resolution}: discs need at least {_MIN_SIDE} pixels a"
                " side to show their factors; raise it"
            )
        self.count = options.images or _DEFAULT_IMAGES
        self._seed = options.seed

    def work(self, first: int) -> Iterator[Work]:
        step = max(1, _WORK_PIXELS // (self._geometry.width * self._geometry.height))
        for start in range(first, self.count, step):
            numbers = range(start, min(start + step, self.count))
            yield functools.partial(_draw, self._seed, self._geometry, self.count, numbers)

    def description(self) -> dict[str, Any]:
        return {
            "source": "discs",
            "images": self.count,
            "resolution": self._geometry.facts()["resolution"],
            "seed": self._seed,
            "licence": "made by ganinv, free of rights",
        }


def source(options: BuildOptions, inputs: Inputs) -> DiscSource:
    del inputs  # discs are drawn, not read
    return DiscSource(options)


def factors(seed: int, number: int) -> NDArray[np.float64]:
    """The factors of one image, in the order of `FACTORS`, each in (−1, 1).

    A hash instead of NumPy's generators, whose numbers may change between versions.
    """
    digest = hashlib.blake2b(f"discs {seed} {number}".encode(), digest_size=4 * len(FACTORS))
    integers = np.frombuffer(digest.digest(), "<u4").astype(np.float64)
    found: NDArray[np.float64] = (integers + 0.5) / 2**31 - 1
    return found


def render(factors_BF: NDArray[np.float64], width: int, height: int) -> NDArray[np.uint8]:
    """Discs with the given factors (`FACTORS`), RGB, B × height × width × 3."""
    unit = min(width, height) / 2  # pixels
    x_B, y_B, radius_B, aspect_B = (factor[:, None, None] for factor in factors_BF.T[:4])
    radius_B = unit * _between(_RADII, radius_B)
    across_B, down_B = radius_B * 2 ** (aspect_B / 2), radius_B * 2 ** (-aspect_B / 2)
    # Pixels from the centre of the disc to the centre of each pixel.
    dx_BW = np.arange(width) + 0.5 - width / 2 * (1 + _REACH * x_B)
    dy_BH = (np.arange(height) + 0.5)[:, None] - height / 2 * (1 + _REACH * y_B)
    cover_BHW = _coverage(dx_BW, dy_BH, across_B, down_B)[..., None]
    colour_B3 = _between(_COLOURS, factors_BF[:, None, None, 4:7])
    background_B1 = _between(_BACKGROUNDS, factors_BF[:, None, None, 7:])
    image_BHWC = background_B1 + cover_BHW * (colour_B3 - background_B1)
    return np.rint(image_BHWC).astype(np.uint8)


def _coverage(
    dx_BW: NDArray[np.float64],
    dy_BH: NDArray[np.float64],
    across_B: NDArray[np.float64],
    down_B: NDArray[np.float64],
) -> NDArray[np.float64]:
    """How much of each pixel lies in the ellipse, 0–1.

    The edge is one pixel wide; the distance from it is exact to first order: q (q − 1) / ‖∇(q²/2)‖
    with q = ‖(dx / across, dy / down)‖.
    """
    q_BHW = np.hypot(dx_BW / across_B, dy_BH / down_B)
    slope_BHW = np.hypot(dx_BW / across_B**2, dy_BH / down_B**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance_BHW = q_BHW * (q_BHW - 1) / slope_BHW
    # At the very centre both vanish.
    distance_BHW = np.where(slope_BHW == 0, -np.minimum(across_B, down_B), distance_BHW)
    return np.clip(0.5 - distance_BHW, 0, 1)


def _between(ends: tuple[float, float], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """−1 … 1 to the range between both ends."""
    low, high = ends
    return low + (high - low) * (factor + 1) / 2


def _draw(seed: int, geometry: Geometry, count: int, numbers: range) -> list[Sample]:
    factors_BF = np.stack([factors(seed, number) for number in numbers])
    images_BHWC = render(factors_BF, geometry.width, geometry.height)
    return [
        Sample(
            key=f"{number:08d}",
            image_HWC=image_HWC,
            attributes=dict(zip(FACTORS, factors_F.tolist(), strict=True)),
            split=split_of(number, count),
        )
        for number, image_HWC, factors_F in zip(numbers, images_BHWC, factors_BF, strict=True)
    ]
