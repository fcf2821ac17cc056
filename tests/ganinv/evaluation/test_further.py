"""Further figures of an evaluation: each against its own functions, over ranks, and left out."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv.evaluation import evaluator as evaluation
from ganinv.evaluation.evaluator import Share
from ganinv.evaluation.figures import network_of
from ganinv.evaluation.further import Further
from ganinv.metrics import path_length, separability, swd_patches
from ganinv.metrics.base import Figure, LoadedPairMetric, PairMetric
from ganinv.metrics.features import pixel_features
from ganinv.metrics.identity import FACES, IDENTITY
from ganinv.metrics.lpips import FIGURES as LPIPS
from ganinv.pictures import to_bytes
from ganinv.seams.engine import SumReduce
from ganinv.training.statistics import statistic_named
from tests.support.evaluations import SEED, evaluator, images, model
from tests.support.thread_ranks import on_threads

HELD_OUT, GENERATED = 24, 22
DAMAGED = (3, 4)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "BATCH", 4)
    monkeypatch.setattr(swd_patches, "DIRECTIONS", 24)
    monkeypatch.setattr(swd_patches, "PATCHES", 4)
    monkeypatch.setattr(separability, "LEAST_OF_A_CLASS", 2)
    monkeypatch.setattr(separability, "LEAST_CODES", 2)


def pair(figure: Figure, counted: Figure | None = None, least_pixels: int = 1) -> LoadedPairMetric:
    """A distance of mean colours; without a value for every second pair, if some are counted."""

    def function(image_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        found_B = (image_BCHW - other_BCHW).mean((1, 2, 3)).square()
        if counted is not None:
            found_B[::2] = math.nan
        return found_B

    metric = PairMetric(
        figure=figure, function=function, counted=counted, least_pixels=least_pixels
    )
    return LoadedPairMetric(metric=metric, network="none", sha256="ab" * 32)


def attributes(numbers: range) -> Sequence[dict[str, Any]]:
    bright = images(numbers).float().mean((1, 2, 3))
    return [{"bright": float(b), "even": n % 2 == 0} for n, b in zip(numbers, bright, strict=True)]


def everything() -> Further:
    return Further(
        pairs=[pair(LPIPS["vgg"]), pair(IDENTITY, FACES)],
        distances=["lpips_vgg"],
        swd_patches=True,
        path_length=True,
        separability=True,
    )


NAMES = {
    "eval/lpips_vgg_test", "eval/lpips_vgg_generated", "eval/identity_distance_test",
    "eval/identity_distance_generated", "eval/faces_test", "eval/faces_generated",
    "eval/swd_patches", "eval/swd_patches_16", "eval/ppl_full_pixels", "eval/ppl_end_pixels",
    "eval/ppl_full_lpips_vgg", "eval/ppl_end_lpips_vgg", "eval/separability_pixels",
}  # fmt: skip


def test_nothing_further_is_computed_unless_it_is_asked_for() -> None:
    some = evaluator(HELD_OUT, GENERATED, attributes=attributes)
    assert not NAMES & some.figures(model(), [pixel_features()]).keys()
    assert some.left_out == []


def test_every_further_figure_is_that_of_its_own_functions_and_described() -> None:
    """With damaged images, which count nowhere."""
    gan, pixels = model(), pixel_features()
    some = evaluator(
        HELD_OUT, GENERATED, damaged=DAMAGED, attributes=attributes, further=everything()
    )
    found = some.figures(gan, [pixels])
    assert found.keys() >= NAMES
    assert all(statistic_named(name).name == name for name in NAMES)
    assert len({statistic_named(name).help for name in NAMES}) == len(NAMES)
    assert some.left_out == []
    assert some.further.attributes == ["bright", "even"]
    assert found["eval/faces_test"] == pytest.approx(10 / 22)  # the second of every two in a batch

    numbers = [n for n in range(HELD_OUT) if n not in DAMAGED]
    real = images(numbers)
    fake = to_bytes(gan.decode(gan.prior(range(GENERATED), SEED)))
    code = gan.prior(range(GENERATED), SEED) * gan.codec.tensors["scale_L"]
    _, label_NA = separability.binary_labels([attributes(range(n, n + 1))[0] for n in numbers])
    expected = separability.separability(pixels.extract(real), pixels.extract(fake), label_NA, code)
    assert found["eval/separability_pixels"] == pytest.approx(expected, rel=1e-6)

    lengths = path_length.path_lengths(
        gan,
        [lambda x, y: (x - y).double().square().flatten(1).mean(1)],
        range(GENERATED),
        SEED,
    )
    full, end = (path_length.mean_length(column) for column in lengths.T)
    assert found["eval/ppl_full_pixels"] == pytest.approx(full, rel=1e-2)
    assert found["eval/ppl_end_pixels"] == pytest.approx(end, rel=1e-2)

    both = swd_patches.OwnImages("held out"), swd_patches.OwnImages("generated")
    both[0].put(numbers, real)
    both[1].put(range(GENERATED), fake)
    distances = swd_patches.patch_distances(
        *both, (range(22), range(22)), count=22, sides=[16], seed=SEED
    )
    assert found["eval/swd_patches_16"] == pytest.approx(distances[16], rel=1e-6)
    assert found["eval/swd_patches"] == found["eval/swd_patches_16"]


def test_figures_name_their_networks() -> None:
    for name in NAMES:
        words = name.removeprefix("eval/")
        network = next((n for n in ("pixels", "lpips_vgg", "identity_distance") if n in words), "")
        assert network_of(name) in (network, "faces")
    assert network_of("eval/fid") == "inception"
    assert network_of("eval/feature_distance_own_test") == "own"
    assert network_of("eval/psnr_db_test") == ""


def test_ranks_share_the_work_and_get_the_same_figures() -> None:
    gan = model()
    alone = evaluator(HELD_OUT, GENERATED, attributes=attributes, further=everything()).figures(
        gan, [pixel_features()]
    )

    def of_rank(rank: int, reduce: SumReduce) -> dict[str, float]:
        share = Share(rank=rank, world=3)
        some = evaluator(
            HELD_OUT,
            GENERATED,
            attributes=attributes,
            further=everything(),
            share=share,
            reduce=reduce,
        )
        return some.figures(gan, [pixel_features()])

    ranks = on_threads(3, of_rank)
    assert ranks[0] == ranks[1] == ranks[2]
    assert ranks[0] == pytest.approx(alone, rel=1e-5)


def test_what_cannot_be_computed_is_left_out() -> None:
    further = Further(
        pairs=[pair(LPIPS["vgg"], least_pixels=17)],
        separability=True,
        missing=["identity_distance"],
    )
    some = evaluator(HELD_OUT, GENERATED, attributes=lambda n: [{}] * len(n), further=further)
    found = some.figures(model(), [pixel_features()])
    assert some.left_out == ["lpips_vgg", "identity_distance", "separability"]
    assert not NAMES & found.keys()
    few = evaluator(HELD_OUT, 11, attributes=attributes, further=Further(separability=True))
    few.figures(model(), [pixel_features()])
    assert few.left_out == ["separability"]  # codes have six elements
    none = evaluator(0, GENERATED, attributes=attributes, further=everything())
    found = none.figures(model(), [pixel_features()])
    assert {"eval/ppl_full_pixels", "eval/lpips_vgg_generated"} < found.keys()
    assert not {"eval/swd_patches", "eval/separability_pixels"} & found.keys()


def test_features_that_are_not_finite_leave_figures_empty(caplog: pytest.LogCaptureFixture) -> None:
    features = pixel_features()
    object.__setattr__(features, "extract", lambda image: image.float().flatten(1) / 0)
    some = evaluator(HELD_OUT, GENERATED, attributes=attributes, further=everything())
    found = some.figures(model(), [features])
    empty = {name for name in NAMES if math.isnan(found[name])}
    assert empty == {"eval/separability_pixels"} | {name for name in NAMES if "ppl" in name}
    assert "non-finite" in caplog.text
    assert torch.tensor(found["eval/swd_patches"]).isfinite()
