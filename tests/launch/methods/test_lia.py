"""LIA's two stages by one command, as a person trains them: Ray and DeepSpeed.

`tests/chaos/test_resume.py` kills and resumes each stage.
"""

from pathlib import Path

import pytest
import torch

import ganinv
from cluster.storage.opening import open_store
from datasets.building.build import build
from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions
from tests.support.commands import ROOT, here
from tests.support.method_training import launch, rows_of
from tests.support.states import whole_state

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


def test_the_verbs_that_look_at_a_run_take_either_stage(whole: Path, tmp_path: Path) -> None:
    words = ("report.samples=4", "report.rows=1")
    page = tmp_path / "page.html"
    assert here("report", f"storage.run={whole}", f"report.file={page}", *words) == 0
    assert "parameters in the generator" in page.read_text()
    for run, encodes in ((whole / "generator", False), (whole, True)):
        assert ("eval/psnr_db_test" in rows_of(run)[-1]) == encodes
        export = tmp_path / f"export-{encodes}"
        assert here("export", f"storage.run={run}", f"export.to={export}") == 0
        model = ganinv.load(str(export), device="cpu")
        assert model.encodes is encodes
        assert model.sample(2, seed=0).shape == (2, 3, 16, 16)
        spaces = model.codec.spaces
        assert spaces["y"].to_code is not None
