"""Values of the metrics: closed forms, and slow loops that were written apart from them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from ganinv.metrics import (
    density_coverage,
    feature_distance,
    frechet,
    kernel,
    neighbours,
    precision_recall,
    ssim,
    swd,
)
from ganinv.metrics.active_units import active_units
from ganinv.metrics.frechet import Moments, frechet_distance, moments

SEED = 4
Array = NDArray[np.float64]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# Fréchet distance


def gaussian(mean_F: Tensor, covariance_FF: Tensor) -> Moments:
    """Moments of a large sample with exactly this mean and covariance."""
    n = torch.tensor(1000.0, dtype=torch.float64)
    outer = covariance_FF * (n - 1) + n * mean_F.outer(mean_F)
    return Moments(n, n * mean_F, outer)


def test_frechet_of_a_shift_is_its_square() -> None:
    covariance = normal(5, 5) @ normal(5, 5).T
    shift = torch.tensor([3.0, 0, -4, 0, 0], dtype=torch.float64)
    found = frechet_distance(
        gaussian(normal(5), covariance), gaussian(normal(5) + shift, covariance)
    )
    assert found == pytest.approx(25)


def test_frechet_of_diagonal_gaussians() -> None:
    """‖Δμ‖² + Σ (σ_r − σ_g)²; the covariances commute."""
    real, fake = torch.tensor([1.0, 4, 9]).double(), torch.tensor([4.0, 4, 0]).double()
    found = frechet_distance(
        gaussian(torch.zeros(3).double(), real.diag()),
        gaussian(torch.ones(3).double(), fake.diag()),
    )
    assert found == pytest.approx(3 + (1 + 0 + 9))


def test_frechet_of_covariances_that_do_not_commute() -> None:
    """Tr (AB)^½ of 2 × 2 matrices: its square is Tr AB + 2 √(det AB)."""
    a = torch.tensor([[2.0, 1], [1, 3]], dtype=torch.float64)
    b = torch.tensor([[5.0, -2], [-2, 1]], dtype=torch.float64)
    root = math.sqrt(float((a @ b).trace()) + 2 * math.sqrt(float(torch.linalg.det(a @ b))))
    zero = torch.zeros(2, dtype=torch.float64)
    found = frechet_distance(gaussian(zero, a), gaussian(zero, b))
    assert found == pytest.approx(float(a.trace() + b.trace()) - 2 * root)


@pytest.mark.parametrize("samples", [300, 10])
def test_frechet_of_a_set_with_itself_is_zero(samples: int) -> None:
    """Also with fewer samples than features, where the covariance has no full rank."""
    found = moments(normal(samples, 32))
    assert frechet_distance(found, found) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("samples", [(40, 30), (40, 5), (6, 9)])
def test_frechet_of_samples_that_are_shifted(samples: tuple[int, int]) -> None:
    """With more samples than features by moments, with fewer by the samples themselves."""
    real, fake = normal(samples[0], 12), normal(samples[1], 12, seed=1) * 2
    by_moments = frechet_distance(moments(real), moments(fake))
    assert frechet.frechet_of_few(real, fake) == pytest.approx(by_moments, rel=1e-6)
    shift = torch.arange(12).double() / 10
    (moved,) = frechet.METRIC.measure(real, real + shift, seed=SEED).values()
    assert moved == pytest.approx(float(shift.square().sum()))
    (wider,) = frechet.METRIC.measure(real, 3 * real, seed=SEED).values()
    spread = float(4 * real.var(0).sum() + 4 * real.mean(0).square().sum())
    assert wider == pytest.approx(spread)
    (itself,) = frechet.METRIC.measure(real, real.clone(), seed=SEED).values()
    assert itself == pytest.approx(0, abs=1e-9)


def test_moments_are_numpys_and_add_over_shares() -> None:
    samples = normal(50, 7) + 3
    whole = moments(samples)
    np.testing.assert_allclose(whole.mean(), samples.numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(whole.covariance(), np.cov(samples.numpy(), rowvar=False), rtol=1e-9)
    other = moments(normal(50, 7, seed=1))
    for world in (1, 2, 3, 60):
        parts = [moments(samples[rank::world]) for rank in range(world)]
        total = Moments(*(torch.stack(fields).sum(0) for fields in zip(*parts, strict=True)))
        found = frechet_distance(total, other)
        assert found == pytest.approx(frechet_distance(whole, other), rel=1e-9)


# Kernel distance


def slow_squared_mmd(x: Array, y: Array) -> float:
    def k(a: Array, b: Array) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    n, m = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    across = sum(k(a, b) for a in x for b in y) / (n * m)
    return within_x + within_y - 2 * across


def test_kernel_distance_is_that_of_a_slow_loop() -> None:
    x, y = normal(12, 5), normal(9, 5, seed=1) + 1
    found = kernel.kernel_distance(x, y, SEED)
    assert found == pytest.approx(slow_squared_mmd(x.numpy(), y.numpy()))


def test_kernel_distance_over_subsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Near that of all samples, the same for a seed, another for another one."""
    x, y = normal(60, 5), normal(50, 5, seed=1) + 1
    whole = kernel.kernel_distance(x, y, SEED)
    monkeypatch.setattr(kernel, "SUBSET_SAMPLES", 30)
    found = [kernel.kernel_distance(x, y, seed) for seed in (SEED, SEED, SEED + 1)]
    assert found[0] == found[1] != found[2]
    assert found == pytest.approx([whole] * 3, rel=0.1)


def test_kernel_distance_is_unbiased() -> None:
    """Of equal distributions it is zero on average, and so at times below."""
    found = [
        kernel.kernel_distance(normal(20, 3, seed=2 * i), normal(20, 3, seed=2 * i + 1), SEED)
        for i in range(200)
    ]
    error = np.std(found) / math.sqrt(len(found))
    assert abs(np.mean(found)) < 4 * error
    assert min(found) < 0


# Precision and recall


def slow_share_within(samples: Array, points: Array, k: int) -> float:
    inside = 0
    radii = [sorted(math.dist(p, q) for q in points)[k] for p in points]  # the first is itself
    for sample in samples:
        inside += any(math.dist(sample, p) <= r for p, r in zip(points, radii, strict=True))
    return inside / len(samples)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(4, 24), st.integers(4, 24), st.floats(0, 3))
def test_precision_and_recall_are_those_of_a_slow_loop(
    seed: int, n: int, m: int, shift: float
) -> None:
    real, fake = normal(n, 3, seed=seed), normal(m, 3, seed=seed + 1) * 0.7 + shift
    precision, recall = precision_recall.precision_and_recall(real, fake)
    assert precision == slow_share_within(fake.numpy(), real.numpy(), 3)
    assert recall == slow_share_within(real.numpy(), fake.numpy(), 3)


def test_precision_and_recall_of_equal_and_of_disjoint_sets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "ROWS", 7)
    monkeypatch.setattr(neighbours, "COLUMNS", 9)
    real = normal(40, 64)
    assert precision_recall.precision_and_recall(real, real.clone()) == (1, 1)
    assert precision_recall.precision_and_recall(real, real + 100) == (0, 0)


def test_precision_without_recall() -> None:
    """Generated samples that crowd around one real one: faithful, without variety."""
    real = normal(100, 2)
    fake = real[:1] + 1e-3 * normal(100, 2, seed=1)
    precision, recall = precision_recall.precision_and_recall(real, fake)
    assert precision == 1
    assert recall <= 0.02


# Density and coverage


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(6, 24), st.integers(1, 24), st.floats(0, 3))
def test_density_and_coverage_are_those_of_a_slow_loop(
    seed: int, n: int, m: int, shift: float
) -> None:
    real, fake = normal(n, 3, seed=seed), normal(m, 3, seed=seed + 1) * 0.7 + shift
    density, coverage = density_coverage.density_and_coverage(real, fake)
    radii = [sorted(math.dist(p, q) for q in real)[5] for p in real]  # the first is itself
    inside = [[math.dist(p, q) <= r for q in fake] for p, r in zip(real, radii, strict=True)]
    assert density == pytest.approx(sum(map(sum, inside)) / (5 * m), rel=1e-12)
    assert coverage == pytest.approx(sum(map(any, inside)) / n, rel=1e-12)


def test_density_and_coverage_of_one_distribution_are_the_papers() -> None:
    """Lemmas 1 and 2: density is 1 on average, and coverage 1 − (M − 1) … (M − k) / …"""
    found = [
        density_coverage.density_and_coverage(
            normal(400, 8, seed=2 * i), normal(400, 8, seed=2 * i + 1)
        )
        for i in range(8)
    ]
    density, coverage = np.mean(found, 0)
    unseen = math.prod((400 - j) / (800 - j) for j in range(1, 6))
    assert density == pytest.approx(1, abs=0.05)
    assert coverage == pytest.approx(1 - unseen, abs=0.01)


def test_density_is_not_moved_by_an_outlier_that_moves_precision() -> None:
    """An outlier's ball is so large that it holds generated samples that are near no other."""
    real = torch.cat([normal(200, 2), torch.full((1, 2), 12.0)])
    fake = normal(200, 2, seed=1) * 0.5 + 6  # between the outlier and all others
    precision, _ = precision_recall.precision_and_recall(real, fake)
    density, coverage = density_coverage.density_and_coverage(real, fake)
    assert precision > 0.9
    assert density < 0.5
    assert coverage < 0.1


# Feature distance


def test_feature_distance_is_the_mean_square_of_each_image() -> None:
    feature_BF = torch.zeros(2, 4)
    other_BF = torch.tensor([[1.0, 1, 1, 1], [0, 0, 4, 0]])
    assert feature_distance.METRIC.measure(feature_BF, other_BF).tolist() == [1, 4]


# SSIM


def slow_ssim(x_HW: Array, y_HW: Array) -> float:
    """One channel, as in the paper: weighted moments of every window."""
    offsets = np.arange(11) - 5
    weight = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    found = []
    for row in range(x_HW.shape[0] - 10):
        for column in range(x_HW.shape[1] - 10):
            a, b = (v[row : row + 11, column : column + 11] for v in (x_HW, y_HW))
            mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
            variance_a = (weight * (a - mean_a) ** 2).sum()
            variance_b = (weight * (b - mean_b) ** 2).sum()
            covariance = (weight * (a - mean_a) * (b - mean_b)).sum()
            found.append(
                (2 * mean_a * mean_b + c1)
                * (2 * covariance + c2)
                / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))
            )
    return float(np.mean(found))


def test_ssim_is_that_of_a_slow_loop() -> None:
    x = normal(2, 3, 16, 13).clamp(-1, 1)
    y = (x + 0.3 * normal(2, 3, 16, 13, seed=1)).clamp(-1, 1)
    slow = [
        np.mean([slow_ssim(x[i, c].numpy(), y[i, c].numpy()) for c in range(3)]) for i in range(2)
    ]
    np.testing.assert_allclose(ssim.ssim(x, y), slow, rtol=1e-9)


def test_ssim_of_equal_inverted_and_constant_images() -> None:
    x = normal(2, 3, 16, 16).clamp(-1, 1)
    torch.testing.assert_close(ssim.ssim(x, x), torch.ones(2).double())
    stripes = torch.ones(1, 1, 16, 16, dtype=torch.float64)
    stripes[..., ::2] = -1
    assert float(ssim.ssim(stripes, -stripes)) < -0.9
    a, b = 0.5, -0.25  # without structure only luminance counts
    found = ssim.ssim(
        torch.full((1, 1, 11, 11), a).double(), torch.full((1, 1, 11, 11), b).double()
    )
    assert float(found) == pytest.approx((2 * a * b + 4e-4) / (a**2 + b**2 + 4e-4), rel=1e-6)


# Sliced Wasserstein distance


def test_swd_of_a_shift() -> None:
    """Along every direction the shift's component; ‖δ‖ / √F on average over the sphere."""
    shift = normal(6, seed=7)
    real = normal(30, 6)
    found = swd.sliced_wasserstein(real, real + shift, SEED)
    along = swd.directions(6, SEED) @ shift
    assert found == pytest.approx(math.sqrt(float(along.square().mean())))
    assert found == pytest.approx(float(shift.norm()) / math.sqrt(6), rel=0.1)


def test_swd_of_a_set_with_itself_is_zero_and_its_scale_is_linear() -> None:
    real, fake = normal(30, 6), normal(30, 6, seed=1)
    assert swd.sliced_wasserstein(real, real.flip(0), SEED) == pytest.approx(0, abs=1e-12)
    once = swd.sliced_wasserstein(real, fake, SEED)
    assert swd.sliced_wasserstein(3 * real, 3 * fake, SEED) == pytest.approx(3 * once)


def test_swd_along_one_axis_is_that_of_numpy() -> None:
    real, fake = normal(30, 1), normal(30, 1, seed=1)
    sorted_real, sorted_fake = np.sort(real.numpy(), 0), np.sort(fake.numpy(), 0)
    expected = math.sqrt(((sorted_real - sorted_fake) ** 2).mean())
    assert swd.sliced_wasserstein(real, fake, SEED) == pytest.approx(expected)


def test_swd_of_sets_of_different_sizes() -> None:
    """Each sample n times is the same set; and the integral over quantiles, by a fine grid."""
    real, fake = normal(6, 4), normal(9, 4, seed=1)
    found = swd.sliced_wasserstein(real, fake, SEED)
    repeated = swd.sliced_wasserstein(real.repeat(3, 1), fake.repeat(2, 1), SEED)
    assert found == pytest.approx(repeated, rel=1e-12)
    level = (np.arange(18) + 0.5) / 18
    along = swd.directions(4, SEED).numpy()
    quantiles = [
        np.quantile(x.numpy() @ along.T, level, axis=0, method="inverted_cdf") for x in (real, fake)
    ]
    assert found == pytest.approx(math.sqrt(((quantiles[0] - quantiles[1]) ** 2).mean()))


def test_directions_are_unit_vectors_of_a_seed() -> None:
    found = swd.directions(5, SEED)
    assert found.shape == (swd.DIRECTIONS, 5)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(swd.DIRECTIONS).double())
    assert torch.equal(found, swd.directions(5, SEED))
    assert not torch.equal(found, swd.directions(5, SEED + 1))


def test_frechet_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = normal(50, 7)
    whole = moments(samples)
    monkeypatch.setattr(frechet, "CHUNK", 8)
    for ours, theirs in zip(moments(samples), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_active_units_are_elements_that_vary_between_images() -> None:
    code_NL = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0))
    code_NL = code_NL * torch.tensor([1.0, 0.12, 0.08, 0.0]) + 5
    assert active_units(code_NL) == 2
    code_NL[3, 0] = math.inf
    assert math.isnan(active_units(code_NL))
