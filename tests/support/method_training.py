"""What every method of `tests/methods` goes through, as a person trains it: Ray and DeepSpeed.

The method is one file, besides its networks, in a copy of the checkout. A test module subclasses
`MethodTraining` for each method: runs take half a minute, and modules run side by side. On several
ranks and resumed: `tests/cluster/checkpoints/test_contents_ranks.py`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
import torch

import ganinv
from cluster.run_folder.metrics_log import read_rows
from cluster.storage.opening import open_store
from datasets.building.build import build
from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions
from ganinv import networks, objectives
from ganinv.saved import format as names
from tests.support.methods import NETWORKS, checkout_with_methods, registered
from tests.support.states import whole_state

# What has to do with an encoder, by the beginning of its name.
RECONSTRUCTION = ("eval/psnr", "eval/ssim", "eval/feature_distance", "eval/enc")
MOMENTS = {"adam": {"exp_avg", "exp_avg_sq"}, "rmsprop": {"square_avg"}}
RECIPE = """\
objective: {{name: {name}}}
network: {{name: {network}, latent_size: 6}}
train: {{images: 96, global_batch: 8, log_every: 16, checkpoint_every: 48, weight_average: 0.9}}
evaluate: {{every: 48, test_images: 16, generated_images: 16}}
cluster: {{workers: 1}}
engine: {{zero_stage: {stage}}}
"""


def launch(checkout: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "launch", *words],
        cwd=checkout, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows_of(run: Path) -> list[dict[str, float]]:
    timed = ("wall_time", "throughput/images_per_second")
    rows = read_rows(open_store(str(run)))
    return [{key: value for key, value in row.items() if key not in timed} for row in rows]


class MethodTraining:
    """The tests; a subclass gives the method, its ZeRO stage and whether it has an encoder."""

    name: ClassVar[str]
    stage: ClassVar[int]
    encodes: ClassVar[bool]

    @pytest.fixture(scope="class")
    @classmethod
    def checkout(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return checkout_with_methods(tmp_path_factory.mktemp("checkout"))

    @pytest.fixture(scope="class")
    @classmethod
    def words(cls, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
        """The recipe and the data of every run."""
        folder, options = tmp_path_factory.mktemp("data"), BuildOptions(images=256, resolution=16)
        build(AvatarSource(options), open_store(str(folder)), options)
        recipe = checkout / f"{cls.name}.yaml"
        network = NETWORKS[cls.name]
        recipe.write_text(RECIPE.format(name=cls.name, network=network, stage=cls.stage))
        return ("train", str(recipe), f"data.url={folder}")

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, checkout: Path, words: tuple[str, ...]) -> Path:
        """A run to its end in one go."""
        folder = checkout / "runs" / "whole"
        launch(checkout, *words, f"storage.run={folder}")
        return folder

    def test_the_checkpoint_holds_what_the_roles_say(self, whole: Path) -> None:
        state = whole_state(open_store(str(whole)))
        with registered():
            module = objectives.find(self.name)
            roles = module.Objective(module.Config(), 6).roles
        for network, role in roles.items():
            assert any(key.startswith(names.weights(network)) for key in state)
            averaged = any(key.startswith(names.average(network)) for key in state)
            assert averaged == role.averaged
            moments = {
                key.split("/")[2] for key in state if key.startswith(f"{network}/optimizer/")
            }
            assert moments == (MOMENTS[role.optimizer] if role.trained else set())
        assert not any(key.startswith(names.STATE) for key in state)

    def test_averages_follow_weights_and_buffers(self, whole: Path) -> None:
        state = whole_state(open_store(str(whole)))
        average = {key: value for key, value in state.items() if "/average/" in key}
        assert average
        for key, value in average.items():
            current = state[key.replace("/average/", "/weights/")]
            if key.endswith("passes"):
                assert current > 0
                assert torch.equal(value, current)
            else:
                assert not torch.equal(value, current)

    def test_a_frozen_network_keeps_every_byte(self, whole: Path) -> None:
        state = whole_state(open_store(str(whole)))
        with registered():
            module = networks.find(NETWORKS[self.name])
            config = module.Config(latent_size=6)
            built = module.build(config, resolution=16, image_channels=3, seed=99)
        frozen = built["p"].state_dict() if "p" in built else {}
        assert bool(frozen) == (self.name == "chained")
        for key, value in frozen.items():
            assert torch.equal(state[f"{names.weights('p')}{key}"], value)

    def test_figures_are_taken_as_far_as_the_method_allows(self, whole: Path) -> None:
        evaluated = [row for row in rows_of(whole) if "eval/fd_pixels" in row]
        assert [row["images_seen"] for row in evaluated] == [16, 48, 96]
        found = {key for key in evaluated[-1] if key.startswith(RECONSTRUCTION)}
        assert bool(found) == self.encodes

    def test_the_verbs_that_look_at_a_run_take_it(self, checkout: Path, whole: Path) -> None:
        run = f"storage.run={whole}"
        figures = json.loads(launch(checkout, "evaluate", run, "evaluate.samples=16", "--json"))
        assert "eval/fd_pixels" in json.dumps(figures)
        page = checkout / "page.html"
        launch(checkout, "report", run, f"report.file={page}", "report.samples=4", "report.rows=1")
        assert "parameters in the" in page.read_text()
        export = checkout / "export"
        launch(checkout, "export", run, f"export.to={export}", "export.torchscript=true")
        with registered():
            model = ganinv.load(str(export), device="cpu")
        assert model.sample(2, seed=0).shape == (2, 3, 16, 16)
        assert model.encodes == self.encodes
        scripted = torch.jit.load(str(export / "generator.pt"))
        code_BL = model.prior(range(2), seed=0)
        torch.testing.assert_close(scripted(code_BL), model.decode(code_BL))
