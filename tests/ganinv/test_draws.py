"""Draws depend on (seed, purpose, image number) and on nothing else."""

from collections.abc import Callable
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganinv.draws import coin_flips, purpose_key, standard_normal, stream, torch_seed

SEEDS = st.integers(0, 2**63 - 1)
PURPOSES = st.text(max_size=20)
NUMBERS = st.lists(st.integers(0, 2**50), min_size=1, max_size=6)
LENGTH = 5
Draw = Callable[[int, str, list[int]], Tensor]


def normals(seed: int, purpose: str, numbers: list[int]) -> Tensor:
    return standard_normal(seed, purpose, numbers, LENGTH)


@pytest.mark.parametrize("draw", [normals, coin_flips])
@settings(max_examples=50)
@given(seed=SEEDS, purpose=PURPOSES, numbers=NUMBERS, random=st.randoms(use_true_random=False))
def test_order_grouping_and_neighbours_do_not_matter(
    draw: Draw, seed: int, purpose: str, numbers: list[int], random: Random
) -> None:
    together = draw(seed, purpose, numbers)
    one_by_one = torch.cat([draw(seed, purpose, [number]) for number in numbers])
    assert torch.equal(together, one_by_one)
    order = list(range(len(numbers)))
    random.shuffle(order)
    shuffled = draw(seed, purpose, [numbers[index] for index in order])
    assert torch.equal(shuffled, together[order])


@settings(max_examples=50)
@given(SEEDS, PURPOSES, st.integers(0, 2**50))
def test_a_shorter_code_is_the_beginning_of_a_longer_one(seed: int, purpose: str, at: int) -> None:
    short, long = (standard_normal(seed, purpose, [at], length) for length in (3, 8))
    assert torch.equal(short, long[:, :3])


def test_other_seeds_purposes_and_numbers_give_other_draws() -> None:
    seeds = [0, 1, 2, 2**32, 2**63 - 1]
    purposes = ["", "noise/z", "noise/z_generator", "flip", "prior"]
    numbers = [0, 1, 2, 2**32, 2**50]
    rows = [normals(seed, p, numbers) for seed in seeds for p in purposes]
    distinct = torch.cat(rows).unique(dim=0)
    assert len(distinct) == len(seeds) * len(purposes) * len(numbers)


def test_torchs_own_generator_is_neither_read_nor_moved() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        before = torch.get_rng_state()
        first = normals(7, "noise/z", [3])
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(1)
        assert torch.equal(normals(7, "noise/z", [3]), first)


def test_moments_are_those_of_the_normal_distribution() -> None:
    draws_BL = standard_normal(11, "noise/z", range(512), 256).double()
    count = draws_BL.numel()
    for power, moment, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        deviation = float(draws_BL.pow(power).mean()) - moment
        assert abs(deviation) < 4.5 * (variance / count) ** 0.5, power


def test_images_and_elements_are_not_correlated() -> None:
    draws_BL = standard_normal(12, "noise/z", range(2048), 32).double()
    bound = 5.5 / 2048**0.5
    covariance_LL = draws_BL.T @ draws_BL / len(draws_BL)
    assert float((covariance_LL - torch.eye(32)).abs().max()) < bound * 2**0.5
    following = float((draws_BL[1:] * draws_BL[:-1]).mean())
    assert abs(following) < 4.5 / draws_BL.numel() ** 0.5


def test_coins_are_fair() -> None:
    heads = coin_flips(13, "flip", range(4096)).double()
    assert abs(float(heads.mean()) - 0.5) < 4.5 * 0.5 / 64
    following = (heads[1:] - 0.5) * (heads[:-1] - 0.5)
    assert abs(float(following.mean())) < 4.5 * 0.25 / 64


def test_shapes_and_types() -> None:
    assert normals(0, "noise/z", [4, 2]).shape == (2, LENGTH)
    assert normals(0, "noise/z", [4]).dtype == torch.float32
    assert coin_flips(0, "flip", [4, 2]).dtype == torch.bool


def test_the_streams_are_those_of_the_first_version() -> None:
    """A change of any of these numbers would change how existing runs resume."""
    assert purpose_key("noise/z") == 7615085712355712480
    assert torch_seed(0, "weights/generator") == 4032372339987807438
    assert stream(5, "flip", 9).integers(2**63) == 4126877184587956826
    expected = [
        [0.08308509737253189, 0.8160408139228821, 0.14579419791698456, -2.0561890602111816],
        [-0.4669669568538666, 1.0286729335784912, 0.4592423141002655, 1.5123741626739502],
    ]
    found = standard_normal(2026, "noise/z", [0, 123_456_789], 4)
    assert torch.equal(found, torch.tensor(expected))
    heads = coin_flips(2026, "flip", range(16))
    assert "".join("TH"[int(head)] for head in heads) == "HTTHTTTHTTHTTHTH"
