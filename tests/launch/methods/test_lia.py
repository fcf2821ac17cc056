"""LIA's two stages by one command, as a person trains them: Ray and DeepSpeed; and resuming each.

A resumed run must equal one without a break bit for bit, wherever it was interrupted.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

import ganinv
from cluster.storage.opening import open_store
from datasets.building.build import build
from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions
from ganinv.saved import format as names
from ganinv.saved.manifest import committed_names
from tests.support.commands import ROOT
from tests.support.method_training import launch, rows_of
from tests.support.states import equal, whole_state

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

RECIPE = """\
network: {name: lia, latent_size: 6, width: 4, max_width: 8, coupling_width: 8, encoder_width: 4,
          encoder_max_width: 8, encoder_norm: group}
train: {images: 96, global_batch: 8, log_every: 16, checkpoint_every: 48, weight_average: 0.9}
evaluate: {every: 48, test_images: 16, generated_images: 16}
cluster: {workers: 2}
stages:
  generator:
    objective: {name: lia_generator}
    engine: {zero_stage: 1}
  encoder:
    objective: {name: lia, perceptual: lite0, lambda_perceptual: 0.1}
    engine: {name: flat, zero_stage: 0}
"""


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The recipe and the data of every run."""
    folder, options = tmp_path_factory.mktemp("data"), BuildOptions(images=256, resolution=16)
    build(AvatarSource(options), open_store(str(folder)), options)
    recipe = folder / "two.yaml"
    recipe.write_text(RECIPE)
    return ("train", str(recipe), f"data.url={folder}")


@pytest.fixture(scope="module")
def whole(words: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both stages in one go."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    launch(ROOT, *words, f"storage.run={folder}")
    return folder


def without_end(run: Path) -> None:
    """Remove the last of a run's two checkpoints."""
    store = open_store(str(run))
    middle, end = committed_names(store)
    store.delete([entry.name for entry in store.list(names.folder(end))])
    assert names.images_of(middle) == 48


def test_the_generator_is_the_average_of_the_first_stage_to_the_byte(whole: Path) -> None:
    first = whole_state(open_store(str(whole / "generator")))
    second = whole_state(open_store(str(whole)))
    average = {key: value for key, value in first.items() if key.startswith("g/average/")}
    assert average
    for key, value in average.items():
        assert torch.equal(second[key.replace("average", "weights")], value), key
    assert not any(key.startswith(("g/average", "g/optimizer", "d/average")) for key in second)
    moved = [key for key in first if key.startswith("d/weights/")]
    assert any(not torch.equal(first[key], second[key]) for key in moved)


def test_a_run_interrupted_in_the_second_stage_resumes_there(
    words: tuple[str, ...], whole: Path
) -> None:
    resumed = whole.parent / "second"
    shutil.copytree(whole, resumed)
    without_end(resumed)
    first = f"stages.encoder.start.run={whole}/generator"  # a copy: the run began with that one
    told = launch(ROOT, *words, f"storage.run={resumed}", first)
    assert "stage generator: trained already" in told
    assert "resuming from 48 images" in told
    equal(whole_state(open_store(str(resumed))), whole_state(open_store(str(whole))))
    assert rows_of(resumed)[-1] == rows_of(whole)[-1]


def test_a_run_interrupted_in_the_first_stage_resumes_there_and_goes_on(
    words: tuple[str, ...], whole: Path
) -> None:
    """The first stage by itself, then the command that trains both."""
    resumed = whole.parent / "first"
    shutil.copytree(whole / "generator", resumed / "generator")
    without_end(resumed / "generator")
    told = launch(ROOT, *words, f"storage.run={resumed}", "stage=generator")
    assert "resuming from 48 images" in told
    first = open_store(str(resumed / "generator"))
    equal(whole_state(first), whole_state(open_store(str(whole / "generator"))))
    told = launch(ROOT, *words, f"storage.run={resumed}")
    assert "stage generator: trained already" in told
    assert f"starting from all networks of {resumed}/generator" in told.replace("\n", "")
    equal(whole_state(open_store(str(resumed))), whole_state(open_store(str(whole))))
    assert rows_of(resumed)[-1] == rows_of(whole)[-1]


def test_the_verbs_that_look_at_a_run_take_either_stage(whole: Path, tmp_path: Path) -> None:
    for run, encodes in ((whole / "generator", False), (whole, True)):
        told = json.loads(launch(ROOT, "evaluate", f"storage.run={run}", "evaluate.samples=16",
                                 "--json"))  # fmt: skip
        assert ("eval/psnr_db_test" in json.dumps(told)) == encodes
        page = tmp_path / f"{encodes}.html"
        launch(ROOT, "report", f"storage.run={run}", f"report.file={page}", "report.samples=4",
               "report.rows=1")  # fmt: skip
        assert "parameters in the generator" in page.read_text()
        export = tmp_path / f"export-{encodes}"
        launch(ROOT, "export", f"storage.run={run}", f"export.to={export}")
        model = ganinv.load(str(export), device="cpu")
        assert model.encodes is encodes
        assert model.sample(2, seed=0).shape == (2, 3, 16, 16)
        spaces = model.codec.spaces
        assert spaces["y"].to_code is not None
