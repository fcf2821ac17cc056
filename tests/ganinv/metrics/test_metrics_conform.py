"""How every metric behaves; a new file in `ganinv/metrics/` is collected by itself.

Shapes: B images, C × H × W; N samples, F features.
"""

import re
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ganinv import metrics
from ganinv.errors import ConfigError, DataError
from ganinv.metrics import frechet, kernel, precision_recall, swd
from ganinv.metrics.base import (
    CodeMetric,
    FeaturePairMetric,
    Figure,
    PairMetric,
    SetMetric,
    pair_metrics,
    set_metrics,
)
from ganinv.metrics.features import FeatureRows
from ganinv.metrics.ranks import Ranks
from ganinv.seams.engine import SumReduce
from tests.support.thread_ranks import on_threads

SEED = 3
METRICS = {name: metrics.find(name).METRIC for name in metrics.names()}
PAIRS = {name: metric for name, metric in METRICS.items() if isinstance(metric, PairMetric)}
SETS = {name: metric for name, metric in METRICS.items() if isinstance(metric, SetMetric)}
CODES = {name: metric for name, metric in METRICS.items() if isinstance(metric, CodeMetric)}
FEATURE_PAIRS = {n: m for n, m in METRICS.items() if isinstance(m, FeaturePairMetric)}
pairs = pytest.mark.parametrize("metric", PAIRS.values(), ids=PAIRS.keys())
sets = pytest.mark.parametrize("metric", SETS.values(), ids=SETS.keys())


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def images(seed: int, count: int = 5) -> Tensor:
    return normal(count, 3, 16, 16, seed=seed).clamp(-1, 1)


def figures() -> list[Figure]:
    alone = [m.figure for m in (*PAIRS.values(), *FEATURE_PAIRS.values(), *CODES.values())]
    return alone + [f for m in SETS.values() for f in m.figures]


def test_every_metric_is_of_one_kind_and_every_figure_has_its_own_name() -> None:
    kinds = (PAIRS, FEATURE_PAIRS, SETS, CODES)
    assert sorted(name for kind in kinds for name in kind) == metrics.names()
    assert pair_metrics() == list(PAIRS.values())
    assert set_metrics() == list(SETS.values())
    for features in ("own", "inception"):
        names = [figure.on(features) for figure in figures()]
        assert len(set(names)) == len(names)


def test_published_names_are_kept_for_published_features() -> None:
    for features in ("own", "pixels", "lite0"):
        names = {figure.on(features) for figure in figures()}
        assert not names & {"fid", "kid"}
        assert f"fd_{features}" in names
    assert {"fid", "kid"} <= {figure.on("inception") for figure in figures()}


def test_a_metric_of_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape(f"choose {', '.join(metrics.names())}")):
        metrics.find("base")


@pairs
def test_pairs_are_measured_one_by_one_and_either_way(metric: PairMetric) -> None:
    x, y = images(1), images(2)
    found_B = metric.measure(x, y)
    assert found_B.shape == (5,)
    assert found_B.dtype == torch.float64
    torch.testing.assert_close(metric.measure(y, x), found_B, rtol=1e-12, atol=0)
    for i in range(5):
        alone = metric.measure(x[i : i + 1], y[i : i + 1])
        torch.testing.assert_close(alone, found_B[i : i + 1], rtol=1e-12, atol=0)


@pairs
def test_the_nearer_image_is_the_better_one(metric: PairMetric) -> None:
    x, noise = images(1), images(2)
    ladder = torch.stack([metric.measure(x, x + share * noise) for share in (0, 0.01, 0.1, 0.5)])
    better = ladder[:-1] > ladder[1:]
    assert (better == metric.figure.higher_is_better).all()


@pairs
def test_images_that_are_too_small_are_refused(metric: PairMetric) -> None:
    least = metric.least_pixels
    small = torch.zeros(1, 3, least, least)
    assert metric.measure(small, small + 0.5).isfinite().all()
    with pytest.raises(ConfigError, match=metric.figure.name):
        metric.measure(small[..., 1:], small[..., 1:])


@pytest.mark.parametrize("metric", FEATURE_PAIRS.values(), ids=FEATURE_PAIRS.keys())
def test_features_are_compared_one_by_one_and_either_way(metric: FeaturePairMetric) -> None:
    x, y = normal(5, 7).float(), normal(5, 7, seed=1).float()
    found_B = metric.measure(x, y)
    assert found_B.dtype == torch.float64
    assert torch.equal(metric.measure(y, x), found_B)
    alone = [metric.measure(x[i : i + 1], y[i : i + 1]) for i in range(5)]
    torch.testing.assert_close(torch.cat(alone), found_B)
    assert not metric.measure(x, x).any()
    nearer_B = metric.measure(x, x + (y - x) / 2)
    assert ((nearer_B > found_B) == metric.figure.higher_is_better).all()


@sets
def test_figures_do_not_depend_on_the_order_of_samples(metric: SetMetric) -> None:
    real, fake = normal(40, 6), normal(40, 6, seed=1) + 0.5
    expected = metric.measure(real, fake, seed=SEED)
    assert list(expected) == [figure.name for figure in metric.figures]
    assert metric.measure(real, fake, seed=SEED) == expected
    shuffled = metric.measure(real.flip(0), fake.roll(7, 0), seed=SEED)
    assert shuffled == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", sorted(SETS.keys() - {"kernel"}))  # a polynomial has an origin
def test_moving_both_sets_together_changes_nothing(name: str) -> None:
    """Also far from the origin, where products lose digits."""
    metric = SETS[name]
    real, fake = normal(40, 6), normal(40, 6, seed=1) + 0.5
    expected = metric.measure(real, fake, seed=SEED)
    moved = metric.measure(real + 1000, fake + 1000, seed=SEED)
    assert moved == pytest.approx(expected, rel=1e-6, abs=1e-6)


@sets
def test_the_nearer_set_is_the_better_one(metric: SetMetric) -> None:
    real, fake = normal(200, 4), normal(200, 4, seed=1)
    ladder = [metric.measure(real, fake + shift, seed=SEED) for shift in (0.0, 0.7, 2.0)]
    for figure in metric.figures:
        values = [row[figure.name] for row in ladder]
        assert sorted(values, reverse=figure.higher_is_better) == values
        assert len(set(values)) == 3


@sets
def test_sets_that_do_not_fit_are_refused(metric: SetMetric) -> None:
    few = metric.least_samples
    assert metric.measure(normal(few, 3), normal(few, 3, seed=1), seed=SEED)
    with pytest.raises(ConfigError, match="at least"):
        metric.measure(normal(few, 3), normal(few - 1, 3), seed=SEED)
    with pytest.raises(ConfigError, match="same feature network"):
        metric.measure(normal(9, 3), normal(9, 4), seed=SEED)
    with pytest.raises(DataError, match="non-finite"):
        metric.measure(normal(9, 3), normal(9, 3) / 0, seed=SEED)


def gathered(feature_NF: Tensor, world: int, batch: int) -> list[Tensor]:
    """What every rank ends with, if each puts its share in batches."""

    def of_rank(rank: int, reduce: SumReduce) -> Tensor:
        rows = FeatureRows(len(feature_NF))
        numbers = range(rank, len(feature_NF), world)
        for start in range(0, len(numbers), batch):
            some = numbers[start : start + batch]
            rows.put(some, feature_NF[list(some)])
        return rows.gathered(reduce)

    return on_threads(world, of_rank)


@pytest.mark.parametrize("count", [8, 2])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_gathered_features_are_the_same_bits_over_any_number_of_ranks(
    world: int, count: int
) -> None:
    """Also where a rank has no image at all."""
    features = normal(count, 5).float()
    for found in gathered(features, world, batch=2):
        assert torch.equal(found, features)


@pytest.mark.parametrize(("count", "rounds"), [(0, 0), (1, 1), (3, 1), (7, 3)])
def test_ranks_share_pieces_and_wait_for_each_other_after_each(count: int, rounds: int) -> None:
    def of_rank(rank: int, reduce: SumReduce) -> tuple[list[int], int]:
        waits = 0

        def counted(value: Tensor) -> Tensor:
            nonlocal waits
            waits += 1
            return reduce(value)

        return list(Ranks(rank=rank, world=3, reduce=counted).pieces(count)), waits

    found = on_threads(3, of_rank)
    assert sorted(piece for pieces, _ in found for piece in pieces) == list(range(count))
    assert all(len(pieces) <= waits == rounds for pieces, waits in found)


@pytest.fixture
def _short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So short that sets of some dozen samples have several."""
    for module, name, size in (
        (precision_recall, "ROWS", 7), (precision_recall, "COLUMNS", 9), (swd, "CHUNK", 100),
        (swd, "SAMPLES", 8), (frechet, "CHUNK", 8), (frechet, "COLUMNS", 2),
        (kernel, "SUBSET_SAMPLES", 20),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, size)


@sets
@pytest.mark.usefixtures("_short_pieces")
def test_ranks_share_a_figure_and_all_get_the_same_bits(metric: SetMetric) -> None:
    real, fake = normal(31, 5).float(), (normal(29, 5, seed=1) + 0.5).float()
    expected = metric.measure(real, fake, seed=SEED)

    def of_rank(rank: int, reduce: SumReduce) -> tuple[dict[str, float], int]:
        dealt = []

        def counted(value: Tensor) -> Tensor:
            dealt.append(value)
            return reduce(value)

        ranks = Ranks(rank=rank, world=world, reduce=counted)
        return metric.measure(real, fake, seed=SEED, ranks=ranks), len(dealt)

    for world in (1, 2, 3):
        for found, waits in on_threads(world, of_rank):
            assert found == expected
            assert waits > 6 / world, "the work was not dealt out in pieces"


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(  # its signature
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        found = function(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, tuple | list) else (found,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return found


@sets
@pytest.mark.usefixtures("_short_pieces")
def test_memory_does_not_grow_with_the_product_of_the_sizes(metric: SetMetric) -> None:
    def most(samples: int) -> int:
        real, fake = normal(samples, 4), normal(samples, 4, seed=1)
        with Largest() as largest:
            metric.measure(real, fake, seed=SEED)
        return largest.elements

    assert most(240) <= 4.1 * most(60)
