"""Part 6: the share of the machine's convolution limit that a step reaches, by `ganinv profile`."""

import os
import sys
from importlib.util import find_spec
from typing import Any

from benchmarks.speed.processes import HERE, last_line

RECIPE = "avatars32-pvdgan"  # its losses are the paper's; sizes are those of part 1
SIZES = (
    "data.resolution=64", "network.latent_size=256", "network.width=32", "network.max_width=128",
    "network.stem_width=512", "network.feature_block=-1", "train.global_batch=16",
)  # fmt: skip
KEPT = (
    "images_per_s", "limit_images_per_s", "share_of_limit", "share_of_other_work", "flop_per_image",
)  # fmt: skip
REPEATS = 3


def measure(*, short: bool) -> dict[str, Any]:
    """What the command says, several times; or why it says nothing."""
    if find_spec("launch.commands.profile") is None:
        return {"left_out": "this checkout has no `ganinv profile`"}
    command = [
        sys.executable, "-m", "launch", "profile", RECIPE, *SIZES, "cluster.workers=1", "--json",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    runs = []
    for _ in range(1 if short else REPEATS):
        found = last_line(command, cwd=HERE, env=environment)
        runs.append({key: found[key] for key in KEPT})
    return {"command": " ".join(command[2:]), "runs": runs}
