"""How far back averages reach: half-lives in images do not depend on the global batch."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganinv.errors import ConfigError
from ganinv.horizons import checked_half_life, decay_at, half_life_images
from ganinv.schedules import Schedule

BATCHES = st.integers(1, 4096)


@settings(max_examples=100)
@given(BATCHES, st.integers(1, 50))
def test_after_a_half_life_an_old_value_weighs_a_half(batch: int, steps: int) -> None:
    """Whatever the global batch: the half-life is so many steps of it."""
    half_life = float(steps * batch)
    weight = 1.0
    for step in range(steps):
        weight *= decay_at(0.1, half_life, step * batch, batch)
    assert weight == pytest.approx(0.5, rel=1e-9)


@settings(max_examples=100)
@given(st.floats(1, 1e7), BATCHES, st.integers(1, 8))
def test_larger_batches_reach_back_over_the_same_images(
    half_life: float, batch: int, times: int
) -> None:
    one, many = (decay_at(0.1, half_life, 0, size) for size in (batch, times * batch))
    assert many == pytest.approx(one**times, rel=1e-9, abs=1e-300)


@settings(max_examples=100)
@given(st.floats(0.01, 0.9999), BATCHES)
def test_a_decay_per_step_has_the_half_life_that_is_told(decay: float, batch: int) -> None:
    half_life = half_life_images(decay, batch)
    assert half_life == pytest.approx(batch * math.log(0.5) / math.log(decay))
    assert decay_at(0.0, half_life, 0, batch) == pytest.approx(decay, rel=1e-9)


def test_no_memory_has_no_half_life() -> None:
    assert half_life_images(0.0, 16) == 0


@given(st.floats(0, 0.999), st.integers(0, 10**9), BATCHES)
def test_without_a_half_life_the_decay_is_per_step(decay: float, seen: int, batch: int) -> None:
    assert decay_at(decay, None, seen, batch) == decay


def test_decays_and_half_lives_may_be_schedules() -> None:
    decay = Schedule(kind="linear", start=0.5, end=0.9, until=100)
    assert [decay_at(decay, None, seen, 8) for seen in (0, 50, 100)] == pytest.approx(
        [0.5, 0.7, 0.9]
    )
    half_life = Schedule(kind="step", start=8.0, factor=2.0, every=100)
    expected = [0.5, 0.5**0.5, 0.5**0.25]
    assert [decay_at(decay, half_life, seen, 8) for seen in (0, 100, 200)] == pytest.approx(
        expected
    )


@settings(max_examples=100)
@given(st.integers(0, 10**7), BATCHES, st.floats(1, 1e6), st.floats(0.01, 1))
def test_the_ramp_is_stylegans(seen: int, batch: int, half_life: float, ramp: float) -> None:
    """`ema_nimg = min(ema_nimg, cur_nimg * ema_rampup)`,
    `ema_beta = 0.5 ** (batch_size / max(ema_nimg, 1e-8))` (training_loop.py of stylegan2-ada).
    """
    ema_nimg = min(half_life, seen * ramp)
    expected = 0.5 ** (batch / max(ema_nimg, 1e-8))
    found = decay_at(0.999, half_life, seen, batch, ramp)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_the_ramp_forgets_the_initial_weights_at_once() -> None:
    assert decay_at(0.999, 10_000.0, 0, 32, 0.05) == 0.0


@pytest.mark.parametrize(
    "value",
    [0, -5.0, {"kind": "linear", "start": 10.0, "end": 0.0, "until": 100}],
)
def test_a_half_life_must_be_above_zero(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"half_life = .*: must be above 0 images"):
        checked_half_life(value, "half_life")
