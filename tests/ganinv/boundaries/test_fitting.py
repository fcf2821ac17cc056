"""Fitting finds a planted hyperplane, whatever the order and the balance of its samples."""

import pytest
import torch
from torch import Tensor

from ganinv.boundaries.fitting import Plane, separating_plane
from ganinv.errors import DataError

SAMPLES, SIZE = 2000, 24
KEYS = [f"{number:08d}" for number in range(SAMPLES)]


SPREAD_P = torch.logspace(-3, 0, SIZE, dtype=torch.float64)


def planted(threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Points with very different spreads, labels by a plane, and its unit normal."""
    generator = torch.Generator().manual_seed(3)
    points = torch.randn(SAMPLES, SIZE, generator=generator, dtype=torch.float64) * SPREAD_P + 0.3
    weight_P = torch.randn(SIZE, generator=generator, dtype=torch.float64) / SPREAD_P
    score_N = (points - 0.3) @ weight_P
    return points, score_N > threshold * score_N.std(), weight_P / weight_P.norm()


def cosine(plane: Plane, normal_P: Tensor) -> float:
    return float(plane.normal_P @ normal_P)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_planted_plane_is_found(threshold: float) -> None:
    points, label_N, normal_P = planted(threshold)
    plane = separating_plane("glasses", points, label_N, KEYS, SPREAD_P)
    assert cosine(plane, normal_P) >= 0.99
    assert plane.figures["accuracy_validation"] > 0.95
    assert plane.figures["samples"] == SAMPLES
    assert plane.figures["share"] == pytest.approx(float(label_N.double().mean()))
    side_N = points @ plane.normal_P + plane.offset > 0
    for kind_N in (label_N, ~label_N):
        assert float((side_N == label_N)[kind_N].double().mean()) > 0.9


def test_the_order_of_the_samples_does_not_matter() -> None:
    points, label_N, _ = planted(0.5)
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(0))
    plane = separating_plane("glasses", points, label_N, KEYS, SPREAD_P)
    keys = [KEYS[number] for number in order.tolist()]
    other = separating_plane("glasses", points[order], label_N[order], keys, SPREAD_P)
    torch.testing.assert_close(other.normal_P, plane.normal_P, rtol=0, atol=1e-6)
    assert other.offset == pytest.approx(plane.offset, abs=1e-6)
    assert other.figures == plane.figures


def test_labels_that_say_nothing_are_at_chance_on_held_out_samples() -> None:
    points, label_N, _ = planted(0.0)
    shuffled = label_N[torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(1))]
    plane = separating_plane("nothing", points, shuffled, KEYS, SPREAD_P)
    assert abs(plane.figures["accuracy_validation"] - 0.5) < 0.08


def test_too_few_of_a_kind_are_refused() -> None:
    points, label_N, _ = planted(3.0)
    with pytest.raises(DataError, match=r"'glasses': \d+ samples with the label and .* 20 of each"):
        separating_plane("glasses", points, label_N, KEYS, SPREAD_P)


def test_elements_that_vary_less_than_the_prior_hardly_count() -> None:
    """The codes of real images: an element may tell the label, and yet change no image."""
    points, _, _ = planted(0.0)
    score_N = points[:, -1] - 0.3
    noise_N = torch.randn(SAMPLES, generator=torch.Generator().manual_seed(5)).double()
    label_N = score_N + 0.3 * noise_N > 0
    # Exactly the label, in a thousandth of what the prior gives this element.
    points[:, 0] = 0.001 * (label_N.double() * 2 - 1)
    plane = separating_plane("glasses", points, label_N, KEYS, torch.ones(SIZE))
    assert abs(float(plane.normal_P[-1])) > 0.98
    assert abs(float(plane.normal_P[0])) < 0.02
