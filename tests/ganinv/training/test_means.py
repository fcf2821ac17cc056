"""Means of statistics: plain means over steps, micro-batches and ranks, whenever folded."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganinv.seams.engine import SumReduce, no_reduction
from ganinv.training.statistics import Means, all_statistics, statistic_named

NAMES = ("loss/g", "loss/d")
VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12)  # one per micro-batch


def double(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def filled(values: list[float]) -> Means:
    """Half of the micro-batches as one step each, the other half all in one step."""
    means = Means(NAMES)
    half = len(values) // 2
    steps = [[value] for value in values[:half]] + [values[half:]]
    for step in steps:
        total = double(sum(step))
        means.add({"loss/d": total, "loss/g": -2 * total}, own=len(step), total=1)
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
        means.add({"loss/d": double(value), "loss/g": double(-2 * value)}, own=1, total=1)
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
def test_ranks_count_by_their_micro_batches(shares: list[list[float]]) -> None:
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


def test_steps_that_a_flag_calls_void_do_not_count() -> None:
    flagged, plain = Means(NAMES), Means(NAMES)
    for number in range(6):
        applied = number % 3 != 1
        value = double(number / 7 if applied else float("nan"))
        sums = {"loss/d": value, "loss/g": -value}
        flagged.add(sums, own=1, total=3, flag=torch.tensor(applied))
        if applied:
            plain.add(sums, own=1, total=3)
    assert torch.equal(flagged.fold(no_reduction), plain.fold(no_reduction))


def test_every_statistic_has_one_description_under_its_name() -> None:
    """As the number in `metrics.jsonl`; the description is what its method or metric declares."""
    assert {"loss/d", "loss/rec", "latent/active", "learning_rate", "grad_norm/g"} <= set(
        all_statistics()
    )
    for name, row in all_statistics().items():
        assert row.name == name
        assert row.help
        assert statistic_named(name) == row


def test_scheduled_options_are_described_by_their_key() -> None:
    row = statistic_named("schedule/train.beta2")
    assert row.name == "schedule/train.beta2"
    assert "train.beta2" in row.help


@pytest.mark.parametrize("reported", [["loss/d"], ["loss/d", "loss/g", "loss/new"]])
def test_statistics_other_than_the_declared_ones_are_a_defect(reported: list[str]) -> None:
    with pytest.raises(AssertionError, match="expected"):
        Means(NAMES).add({name: double(1.0) for name in reported}, own=1, total=1)


def test_a_method_without_statistics_has_an_empty_row() -> None:
    means = Means(())
    means.add({}, own=1, total=1)
    assert means.flush(no_reduction) == {}


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_sums_do_not_depend_on_the_number_of_micro_batches(count: int) -> None:
    means = Means(NAMES)
    total = double(5.0 * count)  # every micro-batch contributes the batch's mean
    means.add({"loss/d": total, "loss/g": total}, own=count, total=count)
    assert means.fold(no_reduction).tolist() == pytest.approx([5.0, 5.0, 1.0], rel=1e-15)
