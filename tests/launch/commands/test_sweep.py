"""`ganinv sweep` as a person types it: what it refuses, a real sweep on S3, and its page."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.run_folder.group_log import read_groups
from cluster.storage.opening import open_store
from ganinv.errors import ConfigError
from launch.commands import sweep
from launch.options.loading import load_config, load_recipe
from launch.pages.page import Headline
from launch.pages.sections import Gallery, Section
from launch.pages.sweep import SettingLine, SweepPage, TrainingLine, render_sweep
from launch.sweeping.checking import planned
from launch.sweeping.grid import grid_of
from launch.sweeping.room import how_many
from tests.support.commands import launch
from tests.support.pages import Document, noise, rows_of_training
from tests.support.started_runs import (
    assert_generator_is_the_origins,
    assert_goes_on_without_its_origin,
    make_origin,
)

GRID = ("tiny-pvdgan", "storage.run=/runs/a", "data.url=/data", "train.seed=0,1")


def test_the_grid_is_shown_and_nothing_else_happens(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.main([*GRID, "train.images=2000", "--table"]) == 0
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert shown[:4] == ["2 trainings", "seed images folder", "0 2,000 seed-0", "1 2,000 seed-1"]
    assert not Path("/runs/a").exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("sweep.limit=1",), r"sweep\.limit = 1: the grid has 2 trainings; .* sweep\.limit=2"),
        (("sweep.judge=psnr",), "no metric gives this figure"),
        (("sweep.judges=psnr",), "did you mean 'sweep.judge'"),
        (("sweep.side_by_side=0",), r"sweep\.side_by_side = 0: must be at least 1"),
        (("objective.lambda_r1=1,-1",), r"lambda_r1 = -1"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        sweep.main([*GRID, *words])


def test_how_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")

    def plans(*words: str) -> Any:
        recipe = load_recipe("tiny-pvdgan")
        return planned(recipe, grid_of(recipe, [*GRID[1:], *words], 16))[1]

    assert how_many(plans(), 7) == 2  # there are no more
    gpus = plans("cluster.use_gpu=true")
    with pytest.raises(ConfigError, match=r"takes 4 GPUs, and this machine has 3"):
        how_many(gpus, 2)
    assert how_many(gpus, None) == 1
    ports = plans("metrics.discovery_port=9000", "cluster.workers=1", "cluster.cpus_per_worker=0.1")
    assert how_many(ports, None) == 1
    with pytest.raises(ConfigError, match="cannot share a port"):
        how_many(ports, 2)


@pytest.mark.integration
@pytest.mark.timeout(240)
def test_a_sweep_names_the_best_and_is_not_repeated(
    s3_store_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And its trainings start from another run, whose generator they keep."""
    origin = make_origin(tmp_path / "origin")
    options = (
        f"data.url={origin.config.data.url}", "train.images=64", "cluster.workers=1",
        "evaluate.features=[]", "engine.name=flat", "engine.zero_stage=0",
        f"start.run={origin.config.storage.run}", "start.networks=[g,d]", "start.frozen=[g]",
    )  # fmt: skip
    words = (
        "tiny-pvdgan", f"storage.run={s3_store_url}", *options,
        "train.learning_rate=0.003,0.0001", "sweep.pictures=2", "sweep.side_by_side=2", "--json",
    )  # fmt: skip
    done = launch("sweep", *words)
    assert done.returncode == 0, done.stderr
    assert "2 to train, 2 side by side" in done.stderr
    found = json.loads(done.stdout)
    assert [one["outcome"] for one in found["trainings"]] == ["trained", "trained"]
    first, second = (one["value"] for one in found["trainings"])
    assert first != second
    assert found["best"] == [{"train.learning_rate": "0.003" if first > second else "0.0001"}]
    store = open_store(s3_store_url)
    assert json.loads(store.read("sweep.json")) == found
    page = Document(store.read("index.html").decode())
    assert "Sweep of tiny-pvdgan: 2 trainings" in page.text
    assert sum(src.startswith("data:image/webp") for src in page.attributes("src")) == 2 * (2 + 4)
    assert "trained 64 images" in store.read("output/learning_rate-0.003.txt").decode()
    assert len(read_groups(open_store(found["trainings"][0]["run"]))) == 1

    def refuse(*_: object, **__: object) -> bool:
        raise AssertionError("trained again")

    monkeypatch.setattr(sweep, "run_jobs", refuse)
    assert sweep.main([*words]) == 0
    assert json.loads(capsys.readouterr().out) == found

    runs = [one["run"] for one in found["trainings"]]
    for run in runs:
        assert_generator_is_the_origins(run, origin)
    config, moved = (
        load_config(
            load_recipe("tiny-pvdgan"),
            [f"storage.run={runs[0]}", *options, "train.learning_rate=0.003", *more],
        )
        for more in ((), ("start.run=/elsewhere",))
    )
    assert_goes_on_without_its_origin(config, moved, origin)


def test_the_page_tells_of_settings_pictures_and_troubles() -> None:
    picture = Section(
        anchor="a",
        title="a",
        caption="a",
        gallery=Gallery(images=noise(0, 2, 1), names=("Sample",)),
    )
    html = render_sweep(
        SweepPage(
            title="Sweep of <a>: 2 trainings",
            url="s3://bucket/sweep",
            figure="psnr_db_test, dB",
            headlines=(Headline(label="lambda_r1", value="4"),),
            conclusion="The best is lambda_r1=4.",
            settings=(
                SettingLine(
                    label="lambda_r1=4", value="12", spread="–", outcomes="trained", is_best=True
                ),
                SettingLine(
                    label="lambda_r1=1", value="–", spread="–", outcomes="diverged", is_best=False
                ),
            ),
            has_seeds=False,
            command="ganinv train a",
            trainings=(
                TrainingLine(
                    label="lambda_r1=1", run="x/1", outcome="diverged", reason="non-finite <b>",
                    images_seen=1600,
                ),
                TrainingLine(
                    label="lambda_r1=4", run="x/4", outcome="trained", reason="", images_seen=2000
                ),
            ),
            shared="train.images=2000",
            pictures={"lambda_r1=4": [picture]},
            missing="No held-out images: none.",
            curves={"lambda_r1=4": rows_of_training(80)},
            figures=(),
        )
    )  # fmt: skip
    page = Document(html)
    for text in (
        "diverged (last checkpoint at 1,600 images). non-finite <b>",
        "Sweep of <a>",
        "ganinv train a",
        "No held-out images: none.",
        "x/4",
    ):
        assert text in page.text
    assert "<b>12</b>" in html
    assert len(page.images()) == 2
    assert "spread over seeds" not in page.text
