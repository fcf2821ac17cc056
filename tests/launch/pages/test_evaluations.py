"""Every figure of an evaluation is drawn in one chart, whatever its name, and read rightly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganinv.metrics.base import pair_metrics, set_metrics
from launch.pages.curves import CurveGroup
from launch.pages.evaluations import evaluation_groups


def groups_of(*names: str) -> list[CurveGroup]:
    return evaluation_groups([{"images_seen": 1.0, **dict.fromkeys(names, 0.5)}])


@settings(max_examples=40)
@given(st.sets(st.text("abc_ő$ /", min_size=1, max_size=9).map("eval/{}".format), min_size=1))
def test_each_figure_of_any_name_is_in_one_chart(names: set[str]) -> None:
    drawn = [key for group in groups_of(*names) for key in group.series]
    assert sorted(drawn) == sorted(names)


@pytest.mark.parametrize("features", ["own", "pixels", "lite0", "inception", "some_new_network"])
def test_set_figures_keep_the_direction_that_their_metric_declares(features: str) -> None:
    for figure in (figure for metric in set_metrics() for figure in metric.figures):
        (group,) = groups_of(f"eval/{figure.on(features)}")
        assert group.higher_is_better is figure.higher_is_better
        assert group.unit == figure.unit
        assert features in group.title


def test_figures_of_reconstructions_share_a_chart_of_both_parts() -> None:
    for figure in (metric.figure for metric in pair_metrics()):
        names = (f"eval/{figure.name}_test", f"eval/{figure.name}_generated")
        (group,) = groups_of(*names)
        assert dict(group.series) == dict(zip(names, ("held out", "generated"), strict=True))
        assert group.higher_is_better is figure.higher_is_better


def test_figures_of_the_papers_come_first_and_precision_stands_beside_recall() -> None:
    groups = groups_of(
        "eval/recall_lite0",
        "eval/fid",
        "eval/novel_test",
        "eval/precision_lite0",
        "eval/novel_generated",
        "latent/entropy_nats",
        "eval/enc",
    )
    assert [list(group.series) for group in groups] == [
        ["eval/enc"],
        ["latent/entropy_nats"],
        ["eval/fid"],
        ["eval/novel_generated", "eval/novel_test"],
        ["eval/precision_lite0", "eval/recall_lite0"],
    ]
    assert groups[2].title == "FID on inception"
    assert list(groups[4].series.values()) == ["precision", "recall"]


def test_levels_share_a_chart_and_so_do_figures_that_belong_together() -> None:
    groups = groups_of(
        "eval/swd_patches_128",
        "eval/swd_patches",
        "eval/swd_patches_16",
        "eval/swd_patches_of_mine",
        "eval/ppl_end_lpips_vgg",
        "eval/ppl_full_lpips_vgg",
        "eval/coverage_lite0",
        "eval/density_lite0",
        "eval/rfid",
        "eval/lpips_vgg_test",
        "eval/faces_generated",
        "eval/separability_pixels",
    )
    found = {group.title: list(group.series.values()) for group in groups}
    assert found == {
        "Density and coverage on lite0": ["coverage", "density"],
        "Share with two faces among pairs": ["generated"],
        "LPIPS on VGG16": ["held out"],
        "Perceptual path length on lpips_vgg": ["ppl end", "ppl full"],
        "RFID on inception": [""],
        "Linear separability of attributes on pixels": [""],
        "Sliced Wasserstein distance of patches, × 10³": ["all levels", "16 pixels", "128 pixels"],
        "Sliced Wasserstein distance on patches_of_mine": [""],
    }
