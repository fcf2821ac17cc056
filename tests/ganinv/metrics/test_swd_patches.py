"""ProGAN's SWD against its definition in plain NumPy, and over ranks.

Shapes: N images, C × H × W.
"""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganinv.metrics import swd_patches
from ganinv.metrics.ranks import Ranks
from ganinv.metrics.swd_patches import OwnImages, cut, levels, patch_distances, pyramid_level
from ganinv.seams.engine import SumReduce
from tests.support.thread_ranks import on_threads

SEED = 2
Array = NDArray[np.float64]


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swd_patches, "DIRECTIONS", 24)
    monkeypatch.setattr(swd_patches, "PATCHES", 9)
    monkeypatch.setattr(swd_patches, "IMAGES", 4)


def images(count: int, seed: int, low: int = 0, size: tuple[int, int] = (32, 32)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, 256, (count, 3, *size), generator=generator).to(torch.uint8)


def own(images_NCHW: Tensor, purpose: str, numbers: range | None = None) -> OwnImages:
    found = OwnImages(purpose)
    numbers = numbers or range(len(images_NCHW))
    found.put(list(numbers), images_NCHW[list(numbers)])
    return found


def distances(real: Tensor, fake: Tensor, sides: list[int], count: int) -> dict[int, float]:
    places = range(len(real)), range(len(fake))
    return patch_distances(
        own(real, "a"), own(fake, "b"), places, count=count, sides=sides, seed=SEED
    )


def slow_blur(image_HW: Array, gain: float = 1.0) -> Array:
    """Each pixel as the sum over its 5 × 5 neighbourhood, mirrored without repeating the border."""
    row = np.array([1, 4, 6, 4, 1]) / 16
    kernel = np.outer(row, row) * gain
    padded = np.pad(image_HW, 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    found: Array = np.einsum("hwij,ij->hw", windows, kernel)
    return found


def slow_pyramid(image_HW: Array, count: int) -> list[Array]:
    found = [image_HW]
    for _ in range(count - 1):
        smaller = slow_blur(found[-1])[::2, ::2]
        wide = np.zeros_like(found[-1])
        wide[::2, ::2] = smaller
        found[-1] = found[-1] - slow_blur(wide, gain=4)
        found.append(smaller)
    return found


@pytest.mark.parametrize("size", [(64, 64), (32, 48)])
def test_levels_are_those_of_a_pyramid_written_out(size: tuple[int, int]) -> None:
    image = images(1, 1, size=size)
    count = len(levels(*size))
    slow = [slow_pyramid(image[0, c].double().numpy(), count) for c in range(3)]
    for depth in range(count):
        found = pyramid_level(image.float(), depth)[0]
        for c in range(3):
            np.testing.assert_allclose(found[c], slow[c][depth], atol=1e-3)


def test_levels_end_at_16_pixels_or_at_an_odd_side() -> None:
    assert levels(256, 256) == [256, 128, 64, 32, 16]
    assert levels(96, 128) == [96, 48, 24]
    assert levels(50, 50) == [50, 25]
    assert levels(16, 16) == [16]
    assert levels(15, 64) == []


def test_patches_are_cut_where_they_are_wanted() -> None:
    level = torch.arange(2 * 3 * 10 * 12).view(2, 3, 10, 12).float()
    corners = torch.tensor([[[0, 0], [3, 5]], [[2, 1], [1, 4]]])
    found = cut(level, corners).view(2, 2, 3, 7, 7)
    for image in range(2):
        for patch in range(2):
            y, x = corners[image, patch].tolist()
            expected = level[image, :, y : y + 7, x : x + 7]
            assert torch.equal(found[image, patch], expected)


def test_places_reach_every_corner_and_depend_on_nothing_but_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(swd_patches, "PATCHES", 400)
    level = torch.zeros(1, 3, 16, 20)
    found = own(images(1, 0), "a")._places(7, level, SEED)
    assert found.min(0).tolist() == [0, 0]
    assert found.max(0).tolist() == [9, 13]


def slow_distances(real: Tensor, fake: Tensor, sides: list[int]) -> list[float]:
    """The definition, set by set, in float64, from the same places and directions."""
    found = []
    directions = swd_patches.directions(SEED).double().numpy()
    for depth in range(len(sides)):
        sets = []
        for image_NCHW, purpose in ((real, "a"), (fake, "b")):
            chosen = own(image_NCHW, purpose)
            patches = []
            for number, image in enumerate(image_NCHW.double().numpy()):
                level = np.stack([slow_pyramid(c, len(sides))[depth] for c in image])
                places = chosen._places(number, torch.from_numpy(level)[None], SEED)
                patches += [level[:, y : y + 7, x : x + 7] for y, x in places]
            patch_PCHW = np.stack(patches)
            patch_PCHW -= patch_PCHW.mean((0, 2, 3), keepdims=True)
            patch_PCHW /= patch_PCHW.std((0, 2, 3), keepdims=True)
            sets.append(np.sort(patch_PCHW.reshape(len(patches), -1) @ directions.T, axis=0))
        found.append(1000 * float(np.abs(sets[0] - sets[1]).mean()))
    return found


def test_distances_are_those_of_the_definition() -> None:
    real, fake = images(7, 1), images(7, 2, low=100)
    fake = (fake // 32) * 32  # other contrasts, which the standardisation does not undo
    sides = levels(32, 32)
    found = distances(real, fake, sides, count=7)
    assert list(found) == [32, 16]
    assert list(found.values()) == pytest.approx(slow_distances(real, fake, sides), rel=1e-4)


def test_the_same_distribution_is_nearer_than_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """And brightness and contrast, which the standardisation takes out, count nothing."""
    monkeypatch.setattr(swd_patches, "PATCHES", 60)
    noise, other, small = images(40, 1), images(40, 2), images(40, 3, size=(4, 4))
    blocks = small.repeat_interleave(8, 2).repeat_interleave(8, 3)
    same = distances(noise, other, [32, 16], count=40)
    far = distances(noise, blocks, [32, 16], count=40)
    dark = distances(noise, noise // 2 + 20, [32, 16], count=40)
    assert all(far[side] > 1.5 * same[side] for side in far)
    assert all(dark[side] < 1.2 * same[side] for side in dark)


def test_constant_images_have_a_finite_distance() -> None:
    flat = torch.full((3, 3, 32, 32), 128, dtype=torch.uint8)
    found = distances(images(3, 1), flat, [32, 16], count=3)
    assert all(np.isfinite(value) for value in found.values())


def test_images_beyond_the_smaller_set_are_left_out() -> None:
    real, fake = images(5, 1), images(9, 2)
    expected = distances(real, fake[:5], [32, 16], count=5)
    assert distances(real, fake, [32, 16], count=5) == pytest.approx(expected)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_work_and_get_the_same_figure(world: int) -> None:
    """Also a rank without images, and images that follow no order."""
    real, fake = images(5, 1), images(5, 2)
    expected = distances(real, fake, [32, 16], count=5)

    def of_rank(rank: int, reduce: SumReduce) -> dict[int, float]:
        numbers = [n for n in (4, 1, 0, 2, 3) if n % 2 == rank]
        mine = [OwnImages("a"), OwnImages("b")]
        for images_of_rank, whole in zip(mine, (real, fake), strict=True):
            if numbers:
                images_of_rank.put(numbers, whole[numbers])
        return patch_distances(
            mine[0],
            mine[1],
            (numbers, numbers),
            count=5,
            sides=[32, 16],
            seed=SEED,
            ranks=Ranks(rank=rank, world=world, reduce=reduce),
        )

    for found in on_threads(world, of_rank):
        assert found == pytest.approx(expected, rel=1e-5)


def test_no_more_than_the_papers_images_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swd_patches, "MOST_IMAGES", 3)
    kept = OwnImages("a")
    kept.put([1, 2, 3, 9], images(4, 1))
    assert kept.numbers == [1, 2]
    assert torch.equal(torch.cat(kept.byte_BCHW), images(4, 1)[:2])
