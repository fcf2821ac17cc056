"""Discs: independent uniform factors, which another program reads off the pixels."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets.sources.base import BuildOptions
from datasets.sources.discs import FACTORS, DiscSource, factors, render
from ganinv.errors import ConfigError


def _read_off(image_HWC: NDArray[np.uint8]) -> dict[str, float]:
    """The factors of an image, by its moments alone."""
    height, width, _ = image_HWC.shape
    unit = min(width, height) / 2
    image = image_HWC.astype(np.float64)
    background = image[0, 0, 0]
    strongest = image.sum(axis=2)
    colour = image[np.unravel_index(strongest.argmax(), strongest.shape)]
    cover = ((image - background) / (colour - background)).mean(axis=2)
    area = cover.sum()
    y, x = (np.indices(cover.shape) + 0.5).reshape(2, height, width)
    mean_x, mean_y = (cover * x).sum() / area, (cover * y).sum() / area
    across, down = (
        math.sqrt(4 * ((cover * (place - mean) ** 2).sum() / area - 1 / 12))
        for place, mean in ((x, mean_x), (y, mean_y))
    )
    red, green, blue = (float(c - 112) / 143 * 2 - 1 for c in colour)
    return {
        "x": (mean_x / width * 2 - 1) / 0.4,
        "y": (mean_y / height * 2 - 1) / 0.4,
        "radius": (math.sqrt(area / math.pi) / unit - 0.2) / 0.22 * 2 - 1,
        "aspect": math.log2(across / down),
        "red": red,
        "green": green,
        "blue": blue,
        "background": float(background) / 72 * 2 - 1,
    }


@pytest.mark.parametrize(("resolution", "tolerance"), [(16, 0.12), (32, 0.05), ("48x32", 0.05)])
def test_the_factors_can_be_read_off_every_image(resolution: int | str, tolerance: float) -> None:
    samples = list(DiscSource(BuildOptions(images=200, resolution=resolution)).samples())
    for sample in samples:
        assert _read_off(sample.image_HWC) == pytest.approx(sample.attributes, abs=tolerance)


def test_factors_are_uniform_and_independent() -> None:
    found = np.stack([factors(0, number) for number in range(4000)])
    assert np.abs(found).max() < 1
    ranks = (np.arange(len(found)) + 0.5) / len(found)
    distance = np.abs((np.sort(found, axis=0) + 1) / 2 - ranks[:, None]).max(axis=0)
    assert distance.max() < 1.63 / math.sqrt(len(found))  # Kolmogorov and Smirnov, 1 %
    correlations = np.corrcoef(np.hstack([found, found**2]).T) - np.eye(2 * len(FACTORS))
    assert np.abs(correlations).max() < 4 / math.sqrt(len(found))


def test_each_number_and_seed_has_its_own_factors_for_ever() -> None:
    """Data sets that exist must not change: these are the numbers of the first version."""
    expected = [
        0.828796225,
        0.097351206,
        0.241724470,
        0.184271772,
        0.466045372,
        0.778658311,
        0.355345571,
        0.255740305,
    ]
    assert factors(3, 5).tolist() == pytest.approx(expected, abs=1e-9)
    assert len({tuple(factors(seed, number)) for seed in range(9) for number in range(9)}) == 81
    small, large = (
        [s.image_HWC.tobytes() for s in DiscSource(BuildOptions(images=n)).samples()]
        for n in (5, 300)
    )
    assert large[:5] == small


def test_edges_are_antialiased_and_no_disc_is_cut() -> None:
    """Pixels are the means of 8 × 8 smaller ones; the area is that of a whole disc at any place."""
    corners = [[x, y, 1, a, 1, 1, 1, -1] for x in (-1, 1) for y in (-1, 1) for a in (-1, 1)]
    factors_BF = np.array(corners, np.float64)
    images = render(factors_BF, 24, 16) / 255
    fine = render(factors_BF, 24 * 8, 16 * 8) / 255
    averaged = fine.reshape(len(images), 16, 8, 24, 8, 3).mean(axis=(2, 4))
    assert np.abs(averaged - images).max() < 0.1
    area = math.pi * (0.42 * 16 / 2) ** 2
    assert images[..., 0].sum(axis=(1, 2)) == pytest.approx(area, rel=0.02)


def test_too_small_images_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.resolution=12x64: discs need at least 16"):
        DiscSource(BuildOptions(resolution="12x64"))
