"""Recorded evaluations on the result page."""

from typing import Any

from launch.pages.conditions import differences
from launch.pages.records import conditions_by_name, with_records


def record(checkpoint: str | None, images: int, recorded: float, **changed: Any) -> dict[str, Any]:
    return {
        "checkpoint": checkpoint,
        "images_seen": images,
        "recorded": recorded,
        "data_fingerprint": "f",
        "split": "test",
        "real": 20,
        "generated": 20,
        "seed": 0,
        "features": {"lite0": {"network": "Lite0", "sha256": "ab", "resize": "bilinear"}},
        "figures": {"eval/fd_lite0": float(images), "eval/psnr_db_test": 1.0},
    } | changed


def test_the_newest_evaluation_says_what_it_was_taken_on() -> None:
    found = conditions_by_name([record("b", 16, 2.0, real=40), record(None, 32, 1.0)])
    assert found["Evaluated"] == "b"
    assert found["Held-out images"] == "the first 40 of the split test"
    assert found["Features lite0"] == "Lite0, SHA-256 ab; resize: bilinear"
    without = conditions_by_name([record("b", 16, 2.0, real=38, damaged=2)])
    assert without["Held-out images"] == "the first 40 of the split test, without 2 corrupt images"
    assert conditions_by_name([record("b", 16, 2.0, real=0)])["Held-out images"] == "none"
    assert conditions_by_name([]) == {}


def test_evaluations_of_checkpoints_add_what_training_has_not_taken() -> None:
    rows = [{"images_seen": 16.0, "eval/psnr_db_test": 9.0}, {"images_seen": 48.0}]
    records = [
        record("a", 16, 1.0),
        record("b", 32, 2.0),
        record("c", 24, 0.5, seed=7),  # not comparable with the newest
        record(None, 48, 3.0),  # in the rows already
    ]
    found = with_records(rows, records)
    assert [row["images_seen"] for row in found] == [16, 16, 32, 48]
    assert [r["eval/fd_lite0"] for r in found if "eval/fd_lite0" in r] == [16.0, 32.0]
    assert [r["eval/psnr_db_test"] for r in found if "eval/psnr_db_test" in r] == [9.0]


def test_two_evaluations_of_a_checkpoint_make_one_row() -> None:
    """Those of other further figures."""
    records = [
        record("a", 16, 1.0, further=["swd_patches"], figures={"eval/x": 1.0, "eval/swd": 2.0}),
        record("a", 16, 2.0, further=[], figures={"eval/x": 1.5}),
    ]
    found = with_records([], records)
    assert found == [{"images_seen": 16, "eval/x": 1.5, "eval/swd": 2.0}]


def test_networks_of_pairs_and_attributes_are_conditions() -> None:
    pairs = {"lpips_vgg": {"network": "LPIPS on VGG16: a.pth", "sha256": "ab"}}
    found = conditions_by_name([record("a", 16, 1.0, pairs=pairs, attributes=["hat", "smile"])])
    assert found["Network of lpips_vgg"] == "LPIPS on VGG16: a.pth, SHA-256 ab"
    assert found["Attributes of linear separability"] == "hat, smile"


def test_runs_are_compared_by_what_a_figure_depends_on() -> None:
    first = record(None, 16, 1.0, attributes=["hat"], weights="averaged", resolution=16)
    pairs = {"lpips_vgg": {"network": "a", "sha256": "1" * 64}}

    def differing(key: str, **changed: Any) -> bool:
        runs = {"a": {**first, "pairs": pairs}, "b": {**first, "pairs": pairs, **changed}}
        return bool(differences(f"eval/{key}", runs))

    more, other = {"generated": 40}, {"lpips_vgg": {"network": "a", "sha256": "2" * 64}}
    assert not differing("ppl_full_lite0")
    assert differing("ppl_full_lite0", **more)
    assert not differing("ppl_full_lite0", real=40)
    assert differing("rfd_lite0", real=40)
    assert not differing("rfd_lite0", **more)
    assert differing("swd_patches", real=40)
    assert differing("swd_patches_16", **more)
    assert differing("separability_lite0", attributes=["smile"])
    assert not differing("fd_lite0", attributes=["smile"])
    for key in ("lpips_vgg_test", "ppl_end_lpips_vgg"):
        assert differing(key, pairs=other)
    assert not differing("fd_lite0", pairs=other)


def test_without_evaluations_the_rows_stay() -> None:
    rows = [{"images_seen": 16.0}]
    assert with_records(rows, []) == rows
