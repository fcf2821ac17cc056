"""Which setting is best: by direction, over seeds, with missing values; and how sure that is."""

import json
import math
from contextlib import nullcontext
from pathlib import Path

import pytest

from ganinv.errors import ConfigError
from launch.options.loading import load_recipe
from launch.options.schema import EvaluateConfig
from launch.sweeping import ending
from launch.sweeping.checking import Planned, planned
from launch.sweeping.ending import result_of
from launch.sweeping.findings import Findings, findings
from launch.sweeping.grid import SEED, Grid, Training, grid_of
from launch.sweeping.judging import (
    Result,
    at_an_edge,
    best_of,
    check_figure,
    doubts,
    judge_named,
    ranked,
    settings_of,
    value_at_end,
)
from launch.sweeping.running import Ended

RECIPE = load_recipe("tiny-pvdgan")
NAN = math.nan


def plans(folder: Path, *words: str) -> tuple[Grid, list[Planned]]:
    places = (f"storage.run={folder}", "data.url=/data", "train.images=100")
    grid = grid_of(RECIPE, (*places, *words), 16)
    return grid, planned(RECIPE, grid)[1]


NAMES = {"objective.lambda_r1": "lambda_r1", SEED: "seed"}


def results_of(values: dict[str, list[float]]) -> list[Result]:
    """λ → the value of each seed; NaN: none."""
    return [
        Result(
            training=Training(
                name="", values={"objective.lambda_r1": weight, SEED: str(seed)}, words=()
            ),
            label=f"{weight} {seed}",
            run="",
            outcome="failed" if math.isnan(value) else "trained",
            value=None if math.isnan(value) else value,
        )
        for weight, of_one in values.items()
        for seed, value in enumerate(of_one)
    ]


@pytest.mark.parametrize(
    ("values", "higher", "order", "best"),
    [
        ({"1": [9.0], "4": [12.0], "16": [3.0]}, True, "4 1 16", "4"),
        ({"1": [9.0], "4": [12.0], "16": [3.0]}, False, "16 1 4", "16"),
        ({"1": [NAN], "4": [12.0], "16": [3.0]}, True, "4 16 1", "4"),
        ({"1": [9.0], "4": [9.0], "16": [3.0]}, True, "1 4 16", "1 4"),
        ({"1": [NAN], "4": [NAN]}, True, "1 4", ""),
        ({"1": [9.0, 7.0], "4": [10.0, 5.0]}, True, "1 4", "1"),
        ({"1": [9.0, 7.0], "4": [20.0, NAN]}, True, "1 4", "1"),  # one seed is no mean of two
        ({"1": [9.0, NAN], "4": [20.0, NAN]}, True, "4 1", ""),
    ],
)
def test_the_best_has_all_values_and_the_best_mean(
    values: dict[str, list[float]], higher: bool, order: str, best: str
) -> None:
    results = results_of(values)
    settings = ranked(settings_of(results, NAMES), higher)
    assert [s.values["objective.lambda_r1"] for s in settings] == order.split()
    found = [s.values["objective.lambda_r1"] for s in best_of(settings, higher)]
    assert found == best.split()


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        ({"1": [9.0], "4": [5.0]}, "one seed"),
        ({"1": [9.0, 7.0], "4": [8.0, 6.0]}, "overlaps with that of lambda_r1=4"),
        ({"1": [9.0, 8.9], "4": [2.0, 2.1]}, ""),
        ({"1": [9.0, 8.9], "4": [NAN, NAN]}, ""),
    ],
)
def test_a_best_by_chance_is_said_to_be_one(values: dict[str, list[float]], doubt: str) -> None:
    results = results_of(values)
    settings = settings_of(results, NAMES)
    said = doubts(best_of(settings, True)[0], settings, True)
    assert doubt in said
    assert bool(said) == bool(doubt)


def test_seeds_are_averaged_and_their_spread_is_known() -> None:
    results = results_of({"1": [1.0, 2.0, 6.0], "4": [0.0, 0.0, 0.0]})
    first, second = settings_of(results, NAMES)
    assert (first.label, first.value) == ("lambda_r1=1", 3.0)
    assert first.spread == pytest.approx(math.sqrt(7))
    assert second.spread == 0.0


def test_the_value_is_that_of_the_end_of_the_training() -> None:
    rows = [
        {"images_seen": 96.0, "a": 1.0},
        {"images_seen": 112.0, "a": 2.0},
        {"images_seen": 1120.0, "a": 9.0},  # it was continued
    ]
    assert value_at_end(rows, "a", 100) == 2.0
    assert value_at_end(rows, "b", 100) is None
    assert value_at_end([{**rows[1], "a": NAN}], "a", 100) is None
    assert value_at_end(rows[:1], "a", 100) is None


def test_directions_come_from_the_metrics() -> None:
    options = EvaluateConfig()
    for name, higher in (("psnr_db_test", True), ("enc", False), ("eval/fd_pixels", False)):
        assert judge_named(name, options).higher_is_better is higher
    for name, problem in (
        ("psnr", "no metric gives this figure"),
        ("fd_lite0", r"add evaluate\.features=\[pixels,lite0\]"),
        ("fid", r"give evaluate\.inception"),
        ("fd_own", "its own discriminator"),
    ):
        with pytest.raises(ConfigError, match=problem):
            judge_named(name, options)


@pytest.mark.parametrize(
    ("name", "encodes", "held_out", "problem"),
    [
        ("psnr_db_test", True, 1, ""),
        ("psnr_db_test", False, 500, "dlsgan has no encoder"),
        ("enc", False, 500, "dlsgan has no encoder"),
        ("psnr_db_test", True, 0, "has none; reserve"),
        ("psnr_db_generated", True, 0, ""),
        ("fd_pixels", False, 500, ""),
        ("fd_pixels", True, 1, "the data set has 1; reserve"),
    ],
)
def test_a_figure_that_evaluations_leave_out_is_refused(
    name: str, encodes: bool, held_out: int, problem: str
) -> None:
    judge = judge_named(name, EvaluateConfig())
    with pytest.raises(ConfigError, match=problem) if problem else nullcontext():
        check_figure(judge, "dlsgan", encodes=encodes, held_out=held_out)


def found_in(
    folder: Path, values: dict[str, float | None], *more: str, judge: str = "psnr_db_test"
) -> Findings:
    """Of trainings that wrote these values, or ended with an error."""
    grid, trainings = plans(folder, f"objective.lambda_r1={','.join(values)}", *more)
    ended = []
    for one, value in zip(trainings, values.values(), strict=True):
        run = Path(one.config.storage.run)
        run.mkdir(parents=True)
        if value is not None:
            row = {"images_seen": 112, "eval/psnr_db_test": value}
            (run / "metrics.jsonl").write_text(json.dumps(row) + "\n")
        status = 0 if value is not None else 4
        ended.append((one, result_of(one, Ended(status, "Ray says\nerror: non-finite\n"))))
    figure = judge_named(judge, EvaluateConfig())
    return findings("tiny-pvdgan", grid.fixed, str(folder), figure, ended, grid.names)


def test_without_records_of_evaluations_nothing_is_compared(tmp_path: Path) -> None:
    found = found_in(tmp_path, {"1": 9.0, "4": 12.0})
    assert found.best == []
    assert "not comparable" in found.conclusion


def test_a_diverged_training_is_told_and_the_others_are_compared(tmp_path: Path) -> None:
    found = found_in(tmp_path, {"1": None, "4": 12.0}, "train.learning_rate=0.01")
    plain = found.as_json()
    assert plain["best"] == [{"objective.lambda_r1": "4"}]
    outcomes = [(one["outcome"], one["reason"], one["value"]) for one in plain["trainings"]]
    assert outcomes == [("diverged", "non-finite", None), ("trained", None, 12.0)]
    assert plain["trainings"][1]["figures"] == {"eval/psnr_db_test": 12.0}
    assert json.loads(json.dumps(plain)) == plain
    assert "The best is lambda_r1=4" in found.conclusion
    assert "train.images" not in found.command
    assert found.command.endswith(
        "train tiny-pvdgan data.url=/data train.learning_rate=0.01 objective.lambda_r1=4 "
        f"storage.run={tmp_path}/full"
    )


def test_a_figure_that_no_training_has_names_those_that_they_have(tmp_path: Path) -> None:
    found = found_in(tmp_path, {"1": None, "4": 12.0}, judge="ssim_test")
    assert found.best == []
    assert "sweep.judge=NAME of: psnr_db_test" in found.conclusion
    assert found.command == ""


def test_a_best_value_at_the_edge_of_the_grid_is_said_to_be_one() -> None:
    for values, edge in (
        ({"1": [9.0], "4": [5.0], "16": [5.0]}, True),
        ({"4": [5.0], "16": [9.0], "1": [5.0]}, True),
        ({"1": [5.0], "4": [9.0], "16": [5.0]}, False),
        ({"1": [5.0], "4": [9.0]}, False),  # of two, each is at an edge
        ({"{kind: cosine}": [5.0], "a": [9.0], "b": [1.0]}, False),
    ):
        settings = settings_of(results_of(values), NAMES)
        assert bool(at_an_edge(best_of(settings, True)[0], settings)) is edge


@pytest.mark.parametrize(
    ("status", "seen", "outcome"),
    [
        (0, 100, "trained"),
        (-15, 112, "trained"),  # a signal met it after its end
        (130, 48, "stopped"),
        (-15, 48, "stopped"),
        (15, 48, "stopped"),
        (4, 48, "diverged"),
        (5, 48, "failed"),
        (-9, 0, "failed"),
    ],
)
def test_how_a_training_ended(
    status: int, seen: int, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "images_seen", lambda _: seen)
    one = plans(tmp_path, "train.seed=0,1")[1][0]
    found = result_of(one, Ended(status, "error: why"))
    assert (found.outcome, found.reason) == (outcome, "" if outcome == "trained" else "why")
