"""Thinning keeps every spike of a curve, smoothing adds none, and only known keys are drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.pages.curves import MOST_POINTS, best_of, drawn_keys, envelope, number, smoothed
from launch.pages.training import GROUPS, training_groups

curves_of_floats = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3 * MOST_POINTS)


@settings(max_examples=30)
@given(curves_of_floats)
def test_envelope_keeps_order_and_extremes(values: list[float]) -> None:
    y = np.array(values)
    x = np.arange(y.size, dtype=np.float64)
    drawn = envelope(x, y)
    assert drawn.x.size == min(y.size, MOST_POINTS)
    assert (np.diff(drawn.x) > 0).all()
    assert (drawn.low.min(), drawn.high.max()) == (y.min(), y.max())
    if y.size <= MOST_POINTS:
        np.testing.assert_array_equal(drawn.mean, y)


@settings(max_examples=30)
@given(curves_of_floats)
def test_smoothing_stays_within_the_curve_and_keeps_constants(values: list[float]) -> None:
    y = np.array(values)
    smooth = smoothed(y)
    assert smooth.shape == y.shape
    assert smooth.min() >= y.min() - 1e-6
    assert smooth.max() <= y.max() + 1e-6
    np.testing.assert_allclose(smoothed(np.full_like(y, y[0])), y[0], rtol=1e-9)


def test_every_group_is_drawn_once_and_unknown_losses_follow() -> None:
    known = {key: 1.0 for group in GROUPS for key in group.series}
    rows = [{"images_seen": 1.0, "wall_time": 2.0, "epoch": 0.0, "loss/z": 1.0, "eval/swd": 1.0}]
    titles = [group.title for group in training_groups([*rows, {"images_seen": 2.0, **known}])]
    assert titles == [*(group.title for group in GROUPS), "loss/z"]


def test_a_group_needs_one_finite_value_at_a_known_place() -> None:
    rows = [{"loss/d": 1.0}, {"images_seen": 1.0, "loss/d": float("nan")}]
    assert training_groups([]) == training_groups(rows) == []
    assert drawn_keys(rows) == {"images_seen"}


def test_the_best_value_needs_a_direction() -> None:
    y = np.array([2.0, 1.0, 3.0])
    assert [best_of(y, direction) for direction in (True, False, None)] == [3.0, 1.0, None]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.18349, "0.183"), (-0.66, "−0.66"), (121.4, "121"), (60_123.4, "60,123"), (0.0, "0")],
)
def test_numbers_for_people(value: float, text: str) -> None:
    assert number(value) == text
