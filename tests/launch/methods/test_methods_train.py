"""Two methods that ask more of the seams than ours, as a person trains them: Ray and DeepSpeed.

Each is one file for the method and one for its networks, put into a copy of the checkout.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
from tests.support.states import equal, whole_state

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
STAGES = {"plain_gan": 0, "chained": 1}
# What has to do with an encoder, by the beginning of its name.
RECONSTRUCTION = ("eval/psnr", "eval/ssim", "eval/feature_distance", "eval/enc")
RECIPE = """\
objective: {{name: {name}}}
network: {{name: {network}, latent_size: 6}}
train: {{images: 96, global_batch: 8, log_every: 16, checkpoint_every: 48, weight_average: 0.9}}
evaluate: {{every: 48, test_images: 16, generated_images: 16}}
cluster: {{workers: 2}}
engine: {{zero_stage: {stage}}}
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout_with_methods(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    options = BuildOptions(images=256, resolution=16)
    build(AvatarSource(options), open_store(str(folder)), options)
    return folder


@pytest.fixture(scope="module", params=NETWORKS)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def launch(checkout: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "launch", *words],
        cwd=checkout, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def train(checkout: Path, data: Path, name: str, run: str, *more: str) -> Path:
    recipe = checkout / f"{name}.yaml"
    recipe.write_text(RECIPE.format(name=name, network=NETWORKS[name], stage=STAGES[name]))
    folder = checkout / "runs" / run
    launch(checkout, "train", str(recipe), f"storage.run={folder}", f"data.url={data}", *more)
    return folder


@pytest.fixture(scope="module")
def whole(checkout: Path, data: Path, name: str) -> Path:
    """A run to its end in one go."""
    return train(checkout, data, name, f"{name}-whole")


def rows_of(run: Path) -> list[dict[str, float]]:
    timed = ("wall_time", "throughput/images_per_second")
    rows = read_rows(open_store(str(run)))
    return [{key: value for key, value in row.items() if key not in timed} for row in rows]


def test_a_resumed_run_equals_one_without_a_break(
    checkout: Path, data: Path, name: str, whole: Path
) -> None:
    """Every tensor and the last row, bit for bit."""
    train(checkout, data, name, f"{name}-parts", "train.images=48")
    parts = train(checkout, data, name, f"{name}-parts")
    equal(whole_state(open_store(str(parts))), whole_state(open_store(str(whole))))
    assert rows_of(parts)[-1] == rows_of(whole)[-1]


def test_the_checkpoint_holds_what_the_roles_say(name: str, whole: Path) -> None:
    state = whole_state(open_store(str(whole)))
    with registered():
        module = objectives.find(name)
        roles = module.Objective(module.Config(), 6).roles
    for network, role in roles.items():
        assert any(key.startswith(names.weights(network)) for key in state)
        averaged = any(key.startswith(names.average(network)) for key in state)
        assert averaged == role.averaged
        moments = {key.split("/")[2] for key in state if key.startswith(f"{network}/optimizer/")}
        kept = {"adam": {"exp_avg", "exp_avg_sq"}, "rmsprop": {"square_avg"}}
        assert moments == (kept[role.optimizer] if role.trained else set())
    assert not any(key.startswith(names.STATE) for key in state)


def test_averages_follow_weights_and_buffers(name: str, whole: Path) -> None:
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


def test_a_frozen_network_keeps_every_byte(name: str, whole: Path) -> None:
    state = whole_state(open_store(str(whole)))
    with registered():
        module = networks.find(NETWORKS[name])
        config = module.Config(latent_size=6)
        built = module.build(config, resolution=16, image_channels=3, seed=99)
    frozen = built["p"].state_dict() if "p" in built else {}
    assert bool(frozen) == (name == "chained")
    for key, value in frozen.items():
        assert torch.equal(state[f"{names.weights('p')}{key}"], value)


def test_figures_are_taken_as_far_as_the_method_allows(name: str, whole: Path) -> None:
    evaluated = [row for row in rows_of(whole) if "eval/fd_pixels" in row]
    assert [row["images_seen"] for row in evaluated] == [16, 48, 96]
    found = {key for key in evaluated[-1] if key.startswith(RECONSTRUCTION)}
    assert bool(found) == (name == "chained")


def test_the_verbs_that_look_at_a_run_take_it(checkout: Path, name: str, whole: Path) -> None:
    words = (f"storage.run={whole}",)
    figures = json.loads(launch(checkout, "evaluate", *words, "evaluate.samples=16", "--json"))
    assert "eval/fd_pixels" in json.dumps(figures)
    page = checkout / f"{name}.html"
    launch(checkout, "report", *words, f"report.file={page}", "report.samples=4", "report.rows=1")
    assert "parameters in the" in page.read_text()
    export = checkout / f"{name}-export"
    launch(checkout, "export", *words, f"export.to={export}", "export.torchscript=true")
    with registered():
        model = ganinv.load(str(export), device="cpu")
    image_BCHW = model.sample(2, seed=0)
    assert image_BCHW.shape == (2, 3, 16, 16)
    assert model.encodes == (name == "chained")
    scripted = torch.jit.load(str(export / "generator.pt"))
    code_BL = model.prior(range(2), seed=0)
    torch.testing.assert_close(scripted(code_BL), model.decode(code_BL))


@pytest.fixture(autouse=True)
def no_leak() -> Iterator[None]:
    """The methods are unknown again after each test."""
    yield
    assert "chained" not in objectives.names()
