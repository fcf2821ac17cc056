"""The main job on a GPU: NCCL, bf16 forward passes, statistics on the CPU."""

from pathlib import Path

import pytest
import torch

from tests.support.commands import checkpoints, launch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.integration,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("engine", ["deepspeed", "flat"])
def test_trains_and_goes_on(tmp_path: Path, precision: str, engine: str) -> None:
    places = (f"storage.run={tmp_path}/run", f"data.url={tmp_path}/data", "data.images=512")
    options = ("cluster.use_gpu=true", "cluster.workers=1", f"train.precision={precision}")
    if engine == "flat":
        options += ("engine.name=flat", "engine.zero_stage=0")
    for images in (1600, 3200):
        words = ("train", "tiny-pvdgan", *places, *options, f"train.images={images}")
        done = launch(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    assert checkpoints(f"{tmp_path}/run")[0]["images_seen"] == 3200
