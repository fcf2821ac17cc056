"""Latent scale, entropy and variance traces: what the papers say of them, for any variances."""

import math
import re
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.latent_scale import (
    TraceConfig,
    active_elements,
    effective_elements,
    latent_entropy_nats,
    latent_scale,
    new_trace,
    trace_variance,
    update_trace,
)
from ganinv.schedules import Schedule

VARIANCE = st.floats(1e-12, 1e12)
VARIANCES = st.lists(VARIANCE, min_size=1, max_size=40).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)
LATENT, BATCH = 3, 4
BATCH_MEANS = st.lists(  # mean squares of the codes of one global batch after another
    st.lists(st.floats(0, 100), min_size=LATENT, max_size=LATENT), min_size=1, max_size=12
)


def largest_entropy(size: int) -> float:
    return size * math.log(math.sqrt(2 * math.pi * math.e))


def double(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@settings(max_examples=50)
@given(VARIANCES)
def test_mean_square_of_the_scale_is_one(variance_L: Tensor) -> None:
    scale_L = latent_scale(variance_L)
    assert scale_L.dtype == torch.float64
    assert float(scale_L.square().mean()) == pytest.approx(1, rel=1e-12)


@settings(max_examples=50)
@given(VARIANCES, st.integers(0, 39))
def test_an_element_that_carries_nothing_has_scale_zero(variance_L: Tensor, index: int) -> None:
    variance_L = torch.cat([variance_L, double([1.0])])
    empty = index % (len(variance_L) - 1)
    variance_L[empty] = 0
    scale_L = latent_scale(variance_L)
    assert scale_L[empty] == 0
    assert float(scale_L.square().mean()) == pytest.approx(1, rel=1e-12)


@settings(max_examples=50)
@given(VARIANCES, st.floats(1e-3, 1e3))
def test_the_scale_knows_ratios_alone(variance_L: Tensor, factor: float) -> None:
    scale_L = latent_scale(variance_L)
    torch.testing.assert_close(latent_scale(factor * variance_L), scale_L, rtol=1e-12, atol=0)
    ratio_L = (scale_L / scale_L[0]).square()
    torch.testing.assert_close(ratio_L, variance_L / variance_L[0], rtol=1e-9, atol=0)


@settings(max_examples=50)
@given(VARIANCES, st.randoms(use_true_random=False))
def test_permuting_the_variances_permutes_the_scale(variance_L: Tensor, random: Random) -> None:
    order = list(range(len(variance_L)))
    random.shuffle(order)
    permuted_L = latent_scale(variance_L[order])
    torch.testing.assert_close(permuted_L, latent_scale(variance_L)[order], rtol=1e-12, atol=0)
    entropy = latent_entropy_nats(latent_scale(variance_L))
    assert latent_entropy_nats(permuted_L) == pytest.approx(entropy, rel=1e-12, abs=1e-9)


@settings(max_examples=50)
@given(VARIANCE, st.integers(1, 40))
def test_equal_variances_have_the_largest_entropy(variance: float, size: int) -> None:
    scale_L = latent_scale(torch.full((size,), variance, dtype=torch.float64))
    torch.testing.assert_close(scale_L, torch.ones_like(scale_L), rtol=1e-12, atol=0)
    assert latent_entropy_nats(scale_L) == pytest.approx(largest_entropy(size), rel=1e-12)


@settings(max_examples=50)
@given(VARIANCES)
def test_unequal_variances_have_less_entropy(variance_L: Tensor) -> None:
    """By the inequality of means: Σ ln s² = ln Π v − d ln mean(v), 0 only where all v are equal."""
    missing = largest_entropy(len(variance_L)) - latent_entropy_nats(latent_scale(variance_L))
    assert missing >= -1e-9
    spread = float(variance_L.max() / variance_L.min())
    if spread > 1.001:
        assert missing > 1e-9
    expected = len(variance_L) * variance_L.mean().log() - variance_L.log().sum()
    assert missing == pytest.approx(float(expected) / 2, rel=1e-6, abs=1e-9)


def test_counts_of_elements() -> None:
    variance_L = double([0.0, 0.1, 0.11, 1.0])
    assert active_elements(variance_L) == 2
    assert effective_elements(torch.full((7,), 0.3)) == pytest.approx(7)
    assert effective_elements(double([0.0, 2.0, 0.0])) == pytest.approx(1)


@settings(max_examples=50)
@given(BATCH_MEANS, st.integers(1, 5))
def test_a_window_is_the_plain_mean_of_the_last_batches(
    batch_means: list[list[float]], length: int
) -> None:
    config = TraceConfig(kind="window", window_samples=length * BATCH, initial=0.5)
    trace = new_trace(config, LATENT, BATCH)
    for step, row in enumerate(batch_means):
        trace = update_trace(config, trace, double(row), step * BATCH, BATCH)
    rows = [[config.initial] * LATENT] * length + batch_means  # it starts full
    expected_L = double(rows[-length:]).mean(0)
    torch.testing.assert_close(trace_variance(trace), expected_L, rtol=1e-12, atol=1e-12)
    assert trace.dtype == torch.float64


@settings(max_examples=50)
@given(BATCH_MEANS, st.floats(0.01, 0.999))
def test_an_exponential_average_has_its_closed_form(
    batch_means: list[list[float]], decay: float
) -> None:
    config = TraceConfig(kind="ema", decay=decay, initial=2.0)
    trace = new_trace(config, LATENT, BATCH)
    for step, row in enumerate(batch_means):
        trace = update_trace(config, trace, double(row), step * BATCH, BATCH)
    count = len(batch_means)
    powers_K = decay ** torch.arange(count - 1, -1, -1, dtype=torch.float64)
    expected_L = 2.0 * decay**count + (1 - decay) * (powers_K @ double(batch_means))
    torch.testing.assert_close(trace_variance(trace), expected_L, rtol=1e-12, atol=1e-12)
    assert trace.dtype == torch.float64


@settings(max_examples=50)
@given(BATCH_MEANS, st.floats(0.01, 0.999), st.floats(1e-4, 9.0))
def test_a_bias_corrected_average_forgets_where_it_began(
    batch_means: list[list[float]], decay: float, initial: float
) -> None:
    """It equals v / (1 − decay^t) of an average that began at zero."""
    config = TraceConfig(kind="ema", decay=decay, initial=initial, bias_corrected=True)
    trace = new_trace(config, LATENT, BATCH)
    plain = torch.zeros(LATENT, dtype=torch.float64)
    for step, row in enumerate(batch_means):
        trace = update_trace(config, trace, double(row), step * BATCH, BATCH)
        plain = decay * plain + (1 - decay) * double(row)
    expected_L = plain / (1 - decay ** len(batch_means))
    torch.testing.assert_close(trace_variance(trace), expected_L, rtol=1e-9, atol=1e-12)


@settings(max_examples=50)
@given(BATCH_MEANS, st.integers(1, 5))
def test_a_half_life_in_images_does_not_depend_on_the_global_batch(
    batch_means: list[list[float]], splits: int
) -> None:
    """A batch of n · m images weighs as much as n batches of m images with the same mean."""
    config = TraceConfig(half_life=10.0)
    whole = many = new_trace(config, LATENT, splits * BATCH)
    for row in batch_means:
        whole = update_trace(config, whole, double(row), 0, splits * BATCH)
        for _ in range(splits):
            many = update_trace(config, many, double(row), 0, BATCH)
    torch.testing.assert_close(many, whole, rtol=1e-9, atol=1e-9)


def test_decay_and_half_life_follow_their_schedules() -> None:
    decay = Schedule(kind="linear", start=0.5, end=0.9, until=100)
    half_life = Schedule(kind="linear", start=4.0, end=8.0, until=100)
    one, nothing = double([1.0, 1.0, 1.0]), double([0.0, 0.0, 0.0])
    for config, expected in (
        (TraceConfig(decay=decay), [0.5, 0.7, 0.9]),
        (TraceConfig(half_life=half_life, decay=0.1), [0.5, 0.5 ** (4 / 6), 0.5**0.5]),
    ):
        kept = [float(update_trace(config, one, nothing, at, BATCH)[0]) for at in (0, 50, 100)]
        assert kept == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["ema", "window"])
def test_an_update_leaves_the_old_trace_as_it_was(kind: Any) -> None:
    config = TraceConfig(kind=kind, window_samples=2 * BATCH)
    trace = new_trace(config, LATENT, BATCH)
    update_trace(config, trace, double([5.0, 6.0, 7.0]), 0, BATCH)
    assert torch.equal(trace, new_trace(config, LATENT, BATCH))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("decay", 0.0),
        ("decay", 1.0),
        ("decay", float("nan")),
        ("decay", Schedule(kind="linear", start=0.9, end=1.0, until=9)),
        ("half_life", 0.0),
        ("half_life", -3.0),
        ("initial", 0.0),
        ("initial", -1.0),
        ("window_samples", 0),
    ],
)
def test_impossible_options_are_refused_by_key_and_value(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{key} = {value}")):
        TraceConfig(**{key: value})


def test_a_window_has_no_bias_to_correct() -> None:
    with pytest.raises(ConfigError, match=r"bias_corrected = True.*kind = 'window'.*kind=ema"):
        TraceConfig(kind="window", bias_corrected=True)


def test_a_window_that_no_number_of_batches_fills_is_refused() -> None:
    config = TraceConfig(kind="window", window_samples=10)
    with pytest.raises(ConfigError, match=r"window_samples = 10.*4.*2048"):
        new_trace(config, LATENT, BATCH)
