"""Figures of an evaluation: values written out, batches, what is kept, and what is left out."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ganinv.evaluation import evaluator as evaluation
from ganinv.evaluation.evaluator import Share, Sums
from ganinv.metrics import frechet, kernel, precision_recall, ssim
from ganinv.metrics.base import code_metrics, pair_metrics, set_metrics
from ganinv.metrics.features import own_features, pixel_features
from ganinv.metrics.psnr import psnr_db
from ganinv.model import InvertibleGan
from ganinv.pictures import to_bytes, to_signed
from ganinv.seams.engine import SumReduce, no_reduction
from ganinv.training.statistics import statistic_named
from tests.support.codecs import codec_without_encoder
from tests.support.evaluations import SEED, CountedFeatures, KeptFeatures, evaluator, images, model
from tests.support.thread_ranks import on_threads


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "BATCH", 3)


@pytest.mark.parametrize(("difference", "decibel"), [(2.0, 0.0), (0.2, 20.0), (0.002, 60.0)])
def test_psnr_of_a_constant_difference(difference: float, decibel: float) -> None:
    """The range of [−1, 1] is 2, so PSNR = 20 log10(2 / difference)."""
    image_BCHW = to_signed(images(range(2))).double()
    found_B = psnr_db(image_BCHW, image_BCHW + difference)
    torch.testing.assert_close(found_B, torch.full((2,), decibel).double(), rtol=1e-9, atol=1e-9)


def test_psnr_is_symmetric_per_image_and_infinite_for_equal_images() -> None:
    image_BCHW = to_signed(images(range(3)))
    other_BCHW = to_signed(images(range(4)))[1:]
    other_BCHW[0] = image_BCHW[0]
    found_B = psnr_db(image_BCHW, other_BCHW)
    assert torch.equal(found_B, psnr_db(other_BCHW, image_BCHW))
    assert found_B.isinf().tolist() == [True, False, False]
    mean_square = float((image_BCHW[1].double() - other_BCHW[1].double()).square().mean())
    assert float(found_B[1]) == pytest.approx(20 * math.log10(2) - 10 * math.log10(mean_square))


def test_figures_are_those_of_the_papers_written_out() -> None:
    """On all images at once; the batches of the evaluation are of three, and the last one less."""
    gan, features = model(), CountedFeatures().features()
    found = evaluator(8, 7).figures(gan, [features])
    g, d, scale_L = gan.codec.networks["g"], gan.codec.networks["d"], gan.codec.tensors["scale_L"]
    with torch.no_grad():
        real = to_signed(images(range(8)))
        code_BL = d(real).latent_BL
        real_again = g(code_BL * scale_L).clamp(-1, 1)
        z_BL = gan.prior(range(7), SEED)
        fake = g(z_BL * scale_L).clamp(-1, 1)
        z_again_BL = d(fake).latent_BL
        fake_again = g(z_again_BL * scale_L).clamp(-1, 1)
    real_NF, real_again_NF, fake_MF, fake_again_MF = (
        features.extract(to_bytes(x)) for x in (real, real_again, fake, fake_again)
    )
    expected = {
        "eval/enc": ((z_BL - z_again_BL) * scale_L).square().mean(),
        "eval/active_units_test": (code_BL.var(0, correction=0) > 0.01).sum(),
        "eval/psnr_db_test": psnr_db(real, real_again).mean(),
        "eval/psnr_db_generated": psnr_db(fake, fake_again).mean(),
        "eval/ssim_test": ssim.ssim(real.double(), real_again.double()).mean(),
        "eval/feature_distance_counted_test": (real_NF - real_again_NF).square().mean(),
        "eval/feature_distance_counted_generated": (fake_MF - fake_again_MF).square().mean(),
        "eval/fd_counted": frechet.frechet_of_few(real_NF.double(), fake_MF.double()),
    }
    assert {name: found[name] for name in expected} == pytest.approx(
        {name: float(value) for name, value in expected.items()}, rel=1e-5
    )


def test_every_figure_is_described() -> None:
    found = evaluator(5, 5).figures(model(), [CountedFeatures().features(), pixel_features()])
    on_images = 2 * len([m for m in pair_metrics() if m.least_pixels <= 16])
    on_features = 2 + sum(len(m.figures) for m in set_metrics() if m.least_samples <= 5)
    on_codes = 1 + len(code_metrics())  # the encoder loss, too
    assert len(found) == on_codes + on_images + 2 * on_features
    texts = {statistic_named(name).help for name in found}
    assert len(texts) == len(found)
    assert all(statistic_named(name).name == name for name in found)
    assert all(isinstance(statistic_named(name).higher_is_better, bool) for name in found)


def test_published_names_are_described_and_others_are_not() -> None:
    assert statistic_named("eval/fid").help == "Fréchet distance, on the features inception"
    assert statistic_named("eval/precision_lite0").higher_is_better
    assert statistic_named("eval/psnr_db_generated").unit == "dB"
    assert statistic_named("loss/d").higher_is_better is None
    for name in ("eval/fid_lite0", "eval/fd", "eval/psnr_db", "loss", "eval/fd_inception"):
        with pytest.raises(KeyError):
            statistic_named(name)


def test_features_of_held_out_images_are_taken_once_and_kept() -> None:
    """In this process, and beyond it; the figures are the same bits."""
    references, counted = KeptFeatures(), CountedFeatures()
    first = evaluator(8, 6, references)
    expected = first.figures(model(), [counted.features()])
    assert counted.seen == 2 * 8 + 2 * 6
    assert references.kept["counted"].shape == (8, 48)
    assert references.kept["counted"].dtype == torch.float32
    counted.seen = 0
    assert first.figures(model(), [counted.features()]) == expected
    assert counted.seen == 8 + 2 * 6
    counted.seen = 0
    assert evaluator(8, 6, references).figures(model(), [counted.features()]) == expected
    assert counted.seen == 8 + 2 * 6


def test_features_without_a_hash_are_never_kept() -> None:
    """The features of the run's own networks change during training."""
    references, counted = KeptFeatures(), CountedFeatures()
    again = evaluator(8, 6, references)
    for _ in range(2):
        again.figures(model(), [counted.features(sha256=None)])
    assert counted.seen == 2 * (2 * 8 + 2 * 6)
    assert references.kept == {}


def test_features_that_are_not_finite_leave_figures_empty(
    caplog: pytest.LogCaptureFixture,
) -> None:
    features = CountedFeatures().features(sha256=None)
    object.__setattr__(features, "extract", lambda image: image.float().flatten(1) / 0)
    found = evaluator(6, 6).figures(model(), [features])
    empty = {name for name, value in found.items() if math.isnan(value)}
    stems = ("fd", "kd", "precision", "recall", "swd")
    assert {f"eval/{stem}_counted" for stem in stems} <= empty
    assert math.isfinite(found["eval/psnr_db_test"])
    assert "non-finite" in caplog.text


@pytest.mark.parametrize(("held_out", "generated"), [(0, 6), (6, 3)])
def test_sets_that_are_too_small_have_fewer_figures(held_out: int, generated: int) -> None:
    some = evaluator(held_out, generated)
    found = some.figures(model(), [pixel_features()])
    assert ("eval/psnr_db_test" in found) == (held_out > 0)
    assert "eval/enc" in found
    assert "eval/precision_pixels" not in found
    assert "precision" in some.left_out
    assert all(math.isfinite(value) for value in found.values())


def test_batches_take_every_image_once_and_are_the_same_on_any_number_of_ranks() -> None:
    whole = list(Share().batches(8))
    assert whole == [range(3), range(3, 6), range(6, 8)]
    for world in (1, 2, 3, 5):
        ranks = [list(Share(rank=rank, world=world).batches(8)) for rank in range(world)]
        assert sorted((b for batches in ranks for b in batches), key=min) == whole
        assert max(map(len, ranks)) - min(map(len, ranks)) <= 1


def test_means_are_of_all_values_however_they_were_dealt_out() -> None:
    values = torch.arange(10).double() / 7
    sums = Sums(["a", "b", "none"])
    for part in values.split(3):
        sums.add("a", part)
    sums.add("b", values[:1])
    found = sums.means(no_reduction)
    assert found == {"a": pytest.approx(float(values.mean())), "b": 0}
    assert sums.means(lambda total: 3 * total) == pytest.approx(found)


def test_bytes_to_signed_and_back_is_exact() -> None:
    every_byte = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(to_signed(every_byte)), every_byte)
    assert to_signed(every_byte)[[0, 255]].tolist() == [-1.0, 1.0]
    assert to_bytes(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


def test_no_rank_works_longer_than_one_batch_or_piece_before_it_waits_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the others' wait could exceed the limit of a collective."""
    for module, name in ((precision_recall, "ROWS"), (kernel, "SUBSET_SAMPLES")):
        monkeypatch.setattr(module, name, 4)

    def of_rank(rank: int, reduce: SumReduce) -> tuple[int, int, dict[str, float]]:
        worked = [0]  # images or samples, between two collectives

        def waiting(total: Tensor) -> Tensor:
            worked.append(0)
            return reduce(total)

        def take(image_BCHW: Tensor) -> Tensor:
            worked[-1] += len(image_BCHW)
            return pixels.extract(image_BCHW)

        features = replace(pixel_features(), extract=take)
        share = Share(rank=rank, world=3)
        found = evaluator(20, 9, share=share, reduce=waiting).figures(gan, [features])
        return max(worked), len(worked), found

    gan, pixels = model(), pixel_features()
    most, waits, found = zip(*on_threads(3, of_rank), strict=True)
    assert set(most) == {6}, "features of a batch of three, and of their reconstructions"
    assert len(set(waits)) == 1
    alone = evaluator(20, 9).figures(gan, [pixels])
    assert list(found) == [pytest.approx(alone, rel=1e-6)] * 3


def test_a_model_without_an_encoder_has_figures_of_its_images_alone() -> None:
    plain = model()
    generator_alone = InvertibleGan(
        codec=codec_without_encoder(plain.codec.networks["g"], plain.latent_size)
    )
    found = evaluator(8, 7).figures(generator_alone, [pixel_features()])
    everything = evaluator(8, 7).figures(plain, [pixel_features()])
    pairs = (f"eval/{metric.figure.name}_" for metric in pair_metrics())
    codes = (f"eval/{metric.figure.name}_" for metric in code_metrics())
    lacking = ("eval/enc", "eval/feature_distance_", *pairs, *codes)
    assert found.keys() == {name for name in everything if not name.startswith(lacking)}
    assert {"eval/fd_pixels", "eval/precision_pixels"} <= found.keys()
    assert own_features(generator_alone, "here") is None


def test_damaged_images_are_as_if_they_had_never_been_there() -> None:
    """Whether features are known or not, and whatever batches they fall into."""
    gan, references = model(), KeptFeatures()
    networks = [CountedFeatures().features(), pixel_features()]
    part = evaluator(11, 7, references, damaged={3, 4, 5, 9})
    found = part.figures(gan, networks)
    assert part.corrupt == 4
    assert not references.kept, "features without some images were kept as those of all"
    whole = evaluator(11, 7, references)
    whole.figures(gan, networks)
    assert whole.corrupt == 0
    assert set(references.kept) == {"counted"}
    known = evaluator(11, 7, references, damaged={3, 4, 5, 9})
    assert known.figures(gan, networks) == pytest.approx(found)

    with torch.no_grad():
        real = to_signed(images([0, 1, 2, 6, 7, 8, 10]))
        psnr_db_B = psnr_db(real, gan.reconstruct(real))
        fake = gan.decode(gan.prior(range(7), SEED))
    extract = networks[0].extract
    distance = frechet.METRIC.measure(extract(to_bytes(real)), extract(to_bytes(fake)), seed=0)
    assert found["eval/psnr_db_test"] == pytest.approx(float(psnr_db_B.mean()), rel=1e-6)
    assert found["eval/fd_counted"] == pytest.approx(distance["fd"], rel=1e-3)


def test_a_set_of_which_nothing_is_left_has_no_figures_of_its_own() -> None:
    gan = model()
    found = evaluator(6, 7, damaged=range(6)).figures(gan, [pixel_features()])
    assert not {"eval/psnr_db_test", "eval/fd_pixels"} & set(found)
    assert math.isfinite(found["eval/psnr_db_generated"])
