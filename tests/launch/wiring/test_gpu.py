"""The main job on a GPU: NCCL, every precision, both engines; steps decided on either side."""

from pathlib import Path

import pytest
import torch

from cluster.storage.opening import open_store
from ganinv.saved.manifest import Manifest, manifests_newest_first
from tests.support.commands import launch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.integration,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine"),
]


def train(folder: Path, run: str, images: int, *options: str) -> Manifest:
    """The newest manifest after training to `images`."""
    places = (f"storage.run={folder}/{run}", f"data.url={folder}/data", "data.images=512")
    fixed = ("cluster.use_gpu=true", "cluster.workers=1", f"train.images={images}")
    done = launch("train", "tiny-pvdgan", *places, *fixed, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    newest = manifests_newest_first(open_store(f"{folder}/{run}"))[0]
    assert newest.images_seen == images
    return newest


ENGINES: dict[str, tuple[str, ...]] = {
    "deepspeed": (),
    "flat": ("engine.name=flat", "engine.zero_stage=0"),
}


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("engine", ENGINES)
def test_trains_and_goes_on(tmp_path: Path, precision: str, engine: str) -> None:
    for images in (1600, 3200):
        train(tmp_path, "run", images, f"train.precision={precision}", *ENGINES[engine])


@pytest.mark.parametrize("option", ["compile", "cuda_graphs"])
def test_compiled_and_captured_steps_train_and_go_on(tmp_path: Path, option: str) -> None:
    for images in (1600, 3200):
        train(tmp_path, "run", images, f"train.{option}=true", *ENGINES["flat"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("engine", ENGINES)
def test_deterministic_runs_resume_bit_for_bit(tmp_path: Path, precision: str, engine: str) -> None:
    options = (f"train.precision={precision}", "train.deterministic=true", *ENGINES[engine])
    train(tmp_path, "resumed", 1600, *options)
    resumed = train(tmp_path, "resumed", 3200, *options)
    whole = train(tmp_path, "whole", 3200, *options)
    assert {o.sha256 for o in resumed.objects} == {o.sha256 for o in whole.objects}
