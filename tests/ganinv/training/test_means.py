"""Means of statistics: plain means over steps, parts and ranks, whenever they are folded."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganinv.seams.engine import SumReduce, no_reduction
from ganinv.training.statistics import DERIVED, TRAINING, Means

NAMES = ("loss/g", "loss/d")
VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12)  # one per part


def double(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def filled(values: list[float]) -> Means:
    """Half of the parts as one step each, the others all in one."""
    means = Means(NAMES)
    half = len(values) // 2
    steps = [[value] for value in values[:half]] + [values[half:]]
    for step in steps:
        total = double(sum(step))
        means.add({"loss/d": total, "loss/g": -2 * total}, parts=len(step), all_parts=1)
    return means


def expected(values: list[float]) -> dict[str, object]:
    mean = sum(values) / len(values)
    return {
        "loss/d": pytest.approx(mean, rel=1e-12, abs=1e-8),
        "loss/g": pytest.approx(-2 * mean, rel=1e-12, abs=1e-8),
    }


def joined(ranks: list[Means]) -> SumReduce:
    """A reduction that adds the other ranks' sums, for the first of them."""
    others = [rank.fold(no_reduction) for rank in ranks[1:]]

    def reduce(total: Tensor) -> Tensor:
        return total + torch.stack(others).sum(0) if others else total

    return reduce


@settings(max_examples=50)
@given(VALUES)
def test_a_flush_gives_plain_means_and_begins_anew(values: list[float]) -> None:
    means = filled(values)
    assert means.flush(no_reduction) == expected(values)
    nothing = means.flush(no_reduction)
    assert nothing.keys() == set(NAMES)
    assert all(math.isnan(value) for value in nothing.values())


@settings(max_examples=50)
@given(VALUES, VALUES)
def test_folding_does_not_change_the_means(first: list[float], second: list[float]) -> None:
    means = filled(first)
    means.fold(no_reduction)
    means.fold(no_reduction)
    for value in second:
        means.add({"loss/d": double(value), "loss/g": double(-2 * value)}, parts=1, all_parts=1)
    assert means.flush(no_reduction) == expected(first + second)


@settings(max_examples=50)
@given(VALUES, VALUES)
def test_folded_sums_can_be_handed_over(first: list[float], second: list[float]) -> None:
    saved = filled(first).fold(no_reduction)
    means = filled(second)  # what it held before is forgotten
    means.load(saved)
    before = saved.clone()
    assert means.flush(no_reduction) == expected(first)
    assert torch.equal(saved, before)


@settings(max_examples=50)
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_ranks_count_by_their_parts(shares: list[list[float]]) -> None:
    """Not a mean of the ranks' means."""
    ranks = [filled(share) for share in shares]
    everything = [value for share in shares for value in share]
    assert ranks[0].flush(joined(ranks)) == expected(everything)


def test_what_was_folded_is_not_added_up_over_ranks_again() -> None:
    means = filled([1.0, 2.0])

    def two_equal_ranks(total: Tensor) -> Tensor:
        return 2 * total

    folded = means.fold(two_equal_ranks)
    assert torch.equal(means.fold(two_equal_ranks), folded)


def test_the_table_names_each_statistic_once() -> None:
    names = [row.name for row in TRAINING + DERIVED]
    assert len(names) == len(set(names))
    assert all(row.help for row in TRAINING + DERIVED)


def test_an_undeclared_statistic_is_a_defect() -> None:
    with pytest.raises(AssertionError, match="loss/new"):
        Means(["loss/d", "loss/new"])


@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_what_is_kept_does_not_depend_on_how_the_batch_was_cut(parts: int) -> None:
    means = Means(NAMES)
    total = double(5.0 * parts)  # every part contributes the batch's mean
    means.add({"loss/d": total, "loss/g": total}, parts=parts, all_parts=parts)
    assert means.fold(no_reduction).tolist() == pytest.approx([5.0, 5.0, 1.0], rel=1e-15)
