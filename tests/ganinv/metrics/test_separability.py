"""Linear separability: labels, both fits against their definitions, and planted hyperplanes.

Shapes: N samples, F features, A attributes, L latent elements.
"""

import math

import pytest
import torch
from torch import Tensor

from ganinv.metrics import separability
from ganinv.metrics.ranks import Ranks
from ganinv.metrics.separability import (
    binary_labels,
    conditional_entropy,
    logistic_regression,
    support_vectors,
    unexplained_bits,
)
from ganinv.seams.engine import SumReduce
from tests.support.thread_ranks import on_threads


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_labels_of_every_kind_of_attribute() -> None:
    rows = [
        {"smile": n % 2 == 0, "sign": 1 if n < 9 else -1, "x": n / 7, "hair": "aab"[n % 3],
         "rare": n == 0, "same": 3, "mixed": "a" if n else 1}
        for n in range(26)
    ]  # fmt: skip
    names, label_NA = binary_labels(rows)
    assert names == ["hair", "sign", "smile", "x"]
    found = dict(zip(names, label_NA.T.tolist(), strict=True))
    assert found["smile"] == [n % 2 == 0 for n in range(26)]
    assert found["sign"] == [n < 9 for n in range(26)]
    assert found["x"] == [n >= 13 for n in range(26)]
    assert found["hair"] == [row["hair"] == "a" for row in rows]


def test_images_without_attributes_have_no_labels() -> None:
    names, label_NA = binary_labels([{}, {}])
    assert (names, label_NA.shape) == ([], (2, 0))
    _, label_NA = binary_labels([{"a": n % 2 == 0} if n else {} for n in range(20)])
    assert label_NA.isnan()[:, 0].tolist() == [True] + [False] * 19


def test_logistic_regression_is_where_its_gradient_vanishes() -> None:
    """The optimum is unique; σ(s) is the slope of ln(1 + eˢ)."""
    x, label = normal(60, 4), (normal(60, seed=1) > 0).double()
    w, b = logistic_regression(x, label)
    residual = torch.sigmoid(x @ w + b) - label
    assert float((w + x.T @ residual).abs().max()) < 1e-4
    assert abs(float(residual.sum())) < 1e-4


def test_support_vectors_are_where_their_gradient_vanishes() -> None:
    """That of liblinear's squared hinge, whose offset has a weight of its own."""
    x, label = normal(60, 4), (normal(60, seed=1) > 0).double()
    w, b = support_vectors(x, label)
    sign = 2 * label - 1
    hinge = (1 - sign * (x @ w + b)).clamp(min=0)
    assert float((w - 2 * x.T @ (sign * hinge)).abs().max()) < 1e-4
    assert abs(float(b - 2 * (sign * hinge).sum())) < 1e-4


def test_conditional_entropy_of_counted_cases() -> None:
    given = torch.tensor([True] * 6 + [False] * 4)
    label = torch.tensor([True] * 5 + [False] + [False] * 2 + [True] * 2)

    def bits(p: float) -> float:
        return -p * math.log2(p) - (1 - p) * math.log2(1 - p)

    assert conditional_entropy(given, label) == pytest.approx(0.6 * bits(5 / 6) + 0.4 * 1)
    assert conditional_entropy(label, label) == 0
    assert conditional_entropy(torch.ones(4, dtype=torch.bool), given[4:8]) == pytest.approx(1)


def test_a_planted_hyperplane_leaves_nothing_to_know_and_a_ring_leaves_all() -> None:
    code = normal(800, 5)
    plane = (code @ normal(5, seed=3) > 0.3).double()
    assert unexplained_bits(code, plane) < 0.05
    ring = (code[:, 0].abs() > code[:, 0].abs().median()).double()
    assert unexplained_bits(code, ring) > 0.95
    assert unexplained_bits(code, torch.ones(800)) == 0


def made(ranks: Ranks = Ranks()) -> float:  # noqa: B008 (frozen)
    """Features are codes in other axes; two attributes are planes, one is a ring."""
    mix = normal(6, 6, seed=9)
    real_code, code = normal(300, 6), normal(500, 6, seed=1)
    label = torch.stack([real_code[:, 0] > 0, real_code[:, 1] > 0.2], 1).double()
    return separability.separability(real_code @ mix, code @ mix, label, code, ranks)


def test_separable_attributes_have_the_best_figure_and_unseen_codes_the_worst() -> None:
    assert made() == pytest.approx(1, abs=0.05)
    mix, real, code = normal(6, 6, seed=9), normal(300, 6), normal(500, 6, seed=1)
    label = (real[:, :1] > 0).double()
    found = separability.separability(real @ mix, code @ mix, label, normal(500, 6, seed=5))
    assert found == pytest.approx(2, abs=0.05)


def test_ranks_share_the_attributes() -> None:
    expected = made()

    def of_rank(rank: int, reduce: SumReduce) -> float:
        return made(Ranks(rank=rank, world=3, reduce=reduce))

    assert on_threads(3, of_rank) == [expected] * 3
