"""Thinning keeps every spike of a curve, smoothing adds none, and only known keys are drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganinv.objectives import dlsgan, pvdgan
from launch.pages.curves import MOST_POINTS, best_of, drawn_keys, envelope, number, smoothed
from launch.pages.training import SPEED_GROUP, training_groups

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


PLOTS = pvdgan.Objective.plots


def test_charts_of_the_papers_methods() -> None:
    """What PVDGAN draws besides DLSGAN, and the order in which both stand on the page."""
    assert [plot.title for plot in PLOTS] == [
        "Losses of the two networks",
        "Scores of the discriminator",
        "Error of the code, L_enc",
        "Error of features, L_rec",
        "Gradient penalty, R1",
        "Active latent elements",
    ]
    assert [plot for plot in PLOTS if plot in dlsgan.Objective.plots] == [*dlsgan.Objective.plots]
    assert len(PLOTS) == len(dlsgan.Objective.plots) + 1


def test_declared_charts_are_drawn_once_and_unknown_losses_and_schedules_follow() -> None:
    groups = [*PLOTS, SPEED_GROUP]
    known = {key: 1.0 for group in groups for key in group.series}
    rows = [{"images_seen": 1.0, "wall_time": 2.0, "epoch": 0.0, "loss/z": 1.0, "eval/swd": 1.0}]
    rows += [{"images_seen": 2.0, "schedule/train.beta2": 0.9, **known}]
    drawn = training_groups(rows, PLOTS)
    assert [group.title for group in drawn] == [
        *(group.title for group in groups),
        "loss/z",
        "train.beta2",
    ]
    assert drawn[-1].series == {"schedule/train.beta2": ""}
    for plot, group in zip(PLOTS, drawn, strict=False):
        assert (group.series, group.caption, group.from_zero) == (
            plot.series,
            plot.caption,
            plot.from_zero,
        )


def test_without_declared_charts_every_loss_has_its_own() -> None:
    rows = [{"images_seen": 1.0, "loss/d": 1.0, "loss/g": 2.0, "throughput/images_per_second": 3.0}]
    assert [group.title for group in training_groups(rows, ())] == ["Speed", "loss/d", "loss/g"]


def test_a_group_needs_one_finite_value_at_a_known_place() -> None:
    rows = [{"loss/d": 1.0}, {"images_seen": 1.0, "loss/d": float("nan")}]
    assert training_groups([], PLOTS) == training_groups(rows, PLOTS) == []
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
