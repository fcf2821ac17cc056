"""Schedules of images: each kind against its formula, at its ends, and what is refused."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganinv.errors import ConfigError
from ganinv.schedules import Schedule, extremes, scheduled, value_at

IMAGES = st.integers(0, 10**9)
LENGTHS = st.integers(1, 10**9)
NUMBERS = st.floats(-1e3, 1e3)
RATES = st.floats(1e-6, 1e3)
BETWEEN = pytest.mark.parametrize("kind", ["linear", "cosine"])


def between(kind: str, start: float, end: float, begin: int, length: int) -> Schedule:
    return scheduled(
        {"kind": kind, "start": start, "end": end, "begin": begin, "until": begin + length}, "rate"
    )


@given(NUMBERS, IMAGES)
def test_a_constant_stays(value: float, images: int) -> None:
    for quantity in (value, scheduled(value, "rate"), Schedule(kind="constant", start=value)):
        assert value_at(quantity, images) == value
        assert extremes(quantity) == (value, value)


@settings(max_examples=50)
@BETWEEN
@given(start=NUMBERS, end=NUMBERS, begin=IMAGES, length=LENGTHS)
def test_start_holds_until_begin_and_end_from_until_on(
    kind: str, start: float, end: float, begin: int, length: int
) -> None:
    schedule = between(kind, start, end, begin, length)
    for images in (0, begin // 2, begin):
        assert schedule.at(images) == start
    for images in (begin + length, begin + length + 1, 10 * (begin + length)):
        assert schedule.at(images) == end


@settings(max_examples=100)
@given(start=NUMBERS, end=NUMBERS, begin=IMAGES, length=LENGTHS, share=st.floats(0, 1))
def test_between_lies_a_straight_line_or_half_a_cosine(
    start: float, end: float, begin: int, length: int, share: float
) -> None:
    images = begin + int(share * length)
    x = (images - begin) / length
    close = {"rel": 1e-9, "abs": 1e-9}
    line = between("linear", start, end, begin, length).at(images)
    assert line == pytest.approx((1 - x) * start + x * end, **close)
    cosine = between("cosine", start, end, begin, length).at(images)
    # SGDR eq. 5: η_min + ½ (η_max − η_min)(1 + cos(π T_cur / T_i)).
    assert cosine == pytest.approx(end + (start - end) * (1 + math.cos(math.pi * x)) / 2, **close)


@settings(max_examples=100)
@BETWEEN
@given(
    start=NUMBERS,
    end=NUMBERS,
    begin=st.integers(0, 1000),
    length=st.integers(1, 1000),
    steps=st.lists(st.integers(0, 3000), min_size=2, max_size=12),
)
def test_values_go_from_start_to_end_without_turning_back(
    kind: str, start: float, end: float, begin: int, length: int, steps: list[int]
) -> None:
    schedule = between(kind, start, end, begin, length)
    values = [schedule.at(images) for images in sorted(steps)]
    slack = 1e-9 * (1 + abs(start) + abs(end))
    upward = 1 if end >= start else -1
    for earlier, later in pairwise(values):
        assert upward * (later - earlier) >= -slack
    low, high = schedule.extremes
    assert (low, high) == (min(start, end), max(start, end))
    assert all(low - slack <= value <= high + slack for value in values)


@settings(max_examples=100)
@given(
    start=RATES,
    factor=st.floats(0.5, 1.5),
    begin=st.integers(0, 1000),
    every=st.integers(1, 1000),
    images=st.integers(0, 20_000),
)
def test_steps_multiply_at_regular_intervals(
    start: float, factor: float, begin: int, every: int, images: int
) -> None:
    schedule = Schedule(kind="step", start=start, factor=factor, begin=begin, every=every)
    expected, passed = start, begin + every
    while passed <= images:
        expected, passed = expected * factor, passed + every
    assert schedule.at(images) == pytest.approx(expected, rel=1e-9)
    if images >= begin:
        later = schedule.at(images + every)
        assert later == pytest.approx(schedule.at(images) * factor, rel=1e-9, abs=1e-300)


@settings(max_examples=100)
@given(RATES, RATES, st.floats(0.1, 0.9), st.integers(0, 10**9))
def test_steps_stop_at_their_end(one: float, other: float, factor: float, images: int) -> None:
    """However many steps come after: the product itself may be beyond any float."""
    low, high = sorted((one, other))
    falling = Schedule(kind="step", start=high, factor=factor, every=7, end=low)
    free = Schedule(kind="step", start=high, factor=factor, every=7)
    assert falling.at(images) == max(free.at(images), low)
    rising = Schedule(kind="step", start=low, factor=1 / factor, every=7, end=high)
    free = Schedule(kind="step", start=low, factor=1 / factor, every=7)
    assert rising.at(images) == min(free.at(images), high)
    for schedule in (falling, rising):
        assert schedule.extremes == (low, high)
        assert low <= schedule.at(images) <= high


@given(RATES, st.floats(0.1, 10), IMAGES, LENGTHS)
def test_an_exponential_passes_through_the_steps_without_jumps(
    start: float, factor: float, begin: int, every: int
) -> None:
    smooth, steps = (
        Schedule(kind=kind, start=start, factor=factor, begin=begin, every=every)
        for kind in ("exponential", "step")
    )
    assert smooth.at(begin // 2) == start
    for count in range(4):
        at = begin + count * every
        assert math.isclose(smooth.at(at), steps.at(at), rel_tol=1e-9)
        middle = start * math.exp(math.log(factor) * (count * every + every // 2) / every)
        assert math.isclose(smooth.at(at + every // 2), middle, rel_tol=1e-9)
    assert Schedule(kind="exponential", start=1, factor=0.5, every=2, end=0.3).at(10**6) == 0.3


def test_growing_steps_without_an_end_reach_infinity() -> None:
    schedule = Schedule(kind="step", start=1.0, factor=2.0, every=1)
    assert schedule.at(1000) == 2.0**1000
    assert schedule.at(10**6) == math.inf


@pytest.mark.parametrize(
    ("factor", "expected"), [(0.5, (0.0, 2.0)), (1.0, (2.0, 2.0)), (3.0, (2.0, math.inf))]
)
def test_extremes_of_steps_without_an_end_are_their_limits(
    factor: float, expected: tuple[float, float]
) -> None:
    assert Schedule(kind="step", start=2.0, factor=factor, every=10).extremes == expected


def test_an_option_takes_a_number_a_group_or_a_schedule() -> None:
    assert scheduled(3, "rate") == 3.0
    assert isinstance(scheduled(3, "rate"), float)
    schedule = Schedule(kind="linear", start=1.0, end=0.5, until=9)
    assert scheduled(schedule, "rate") is schedule
    assert scheduled({"kind": "linear", "start": 1.0, "end": 0.5, "until": 9}, "rate") == schedule


LINEAR = {"kind": "linear", "start": 1.0, "end": 0.0, "until": 9}
STEP = {"kind": "step", "start": 1.0, "factor": 0.5, "every": 9}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("fast", "rate = 'fast': must be a finite number, or a schedule"),
        (None, "rate = None: must be a finite number"),
        (True, "rate = True: must be a finite number"),
        (math.inf, "rate = inf: must be a finite number"),
        (math.nan, "rate = nan: must be a finite number"),
        ({"start": 1.0}, "rate"),
        ({"kind": "steep", "start": 1.0}, "rate.kind = 'steep'"),
        ({"kind": "constant", "start": math.nan}, r"rate\.start = nan: must be a finite number"),
        ({**LINEAR, "strat": 2.0}, r"rate\.strat = 2.0: unknown key, did you mean 'start'"),
        ({**LINEAR, "start": "one"}, r"rate\.start = 'one': must be float"),
        ({**LINEAR, "end": math.inf}, r"rate\.end = inf: must be a finite number"),
        ({"kind": "linear", "start": 1.0, "end": 0.0}, r"rate\.until is missing"),
        ({"kind": "cosine", "start": 1.0, "until": 9}, r"rate\.end is missing"),
        ({"kind": "step", "start": 1.0, "every": 9}, r"rate\.factor is missing"),
        ({"kind": "step", "start": 1.0, "factor": 0.5}, r"rate\.every is missing"),
        ({"kind": "constant", "start": 1.0, "end": 2.0}, r"rate\.end = 2.0: .*does not use it"),
        ({**LINEAR, "every": 3}, r"rate\.every = 3: .*kind linear does not use it"),
        ({**STEP, "until": 30}, r"rate\.until = 30: .*kind step does not use it"),
        ({**LINEAR, "begin": -1}, r"rate\.begin = -1: must be at least 0 images"),
        ({**LINEAR, "begin": 9}, r"rate\.until = 9: must be above begin = 9 images"),
        ({**STEP, "every": 0}, r"rate\.every = 0: must be at least 1 image"),
        ({**STEP, "factor": 0.0}, r"rate\.factor = 0.0: must be above 0"),
        ({**STEP, "factor": -2.0}, r"rate\.factor = -2.0: must be above 0"),
        (
            {**STEP, "start": 0.0},
            r"rate\.start = 0.0: must be above 0, because",
        ),
        ({**STEP, "end": 2.0}, r"rate\.end = 2.0: steps of factor 0.5 lead from start = 1.0 away"),
        (
            {**STEP, "factor": 2.0, "end": 0.5},
            r"rate\.end = 0.5: steps of factor 2.0 lead from start = 1.0 away",
        ),
    ],
)
def test_impossible_schedules_are_refused_by_key_value_and_reason(value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        scheduled(value, "rate")
