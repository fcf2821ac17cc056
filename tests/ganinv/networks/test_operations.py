"""How many operations a training step takes, per family, at full size: on the meta device.

Each is a kernel launch on a GPU. The limits are what was counted, and 3 % more. They catch work
that comes in unseen: the double backward of blurs alone once added some two thousand convolutions.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ganinv import networks
from ganinv.objectives.base import MicroBatch, Objective, RoundOutput
from tests.support.families import families
from tests.support.runs import make_objective

RESOLUTION, BATCH = 256, 4
# operations that are not views, and convolutions (forward, or backward), of one step
LIMITS = {
    "conv": (865, 226),
    "stylegan2": (1751, 284),
    "reduced_stylegan2": (1714, 284),
    "r3gan": (1283, 488),
}
VIEWS = (
    *("view", "detach", "alias", "expand", "transpose", "permute", "slice", "select"),
    *("unsqueeze", "squeeze", "t.default", "as_strided", "split", "unbind"),
    "profiler",  # names of parts
)


class Operations(TorchDispatchMode):
    """Counts operations by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        name = str(func).removeprefix("aten.")
        if not name.startswith(VIEWS):
            self.counts[name.split(".")[0]] += 1
        return func(*args, **(kwargs or {}))


def backward(output: RoundOutput, nets: Mapping[str, nn.Module]) -> None:
    """What `training.step` does with the losses of a simultaneous round, without an engine."""
    (image,) = output.losses["g"].through
    (toward,) = torch.autograd.grad(output.losses["g"].value, image.leaf, retain_graph=True)
    torch.autograd.grad(output.losses["d"].value, list(nets["d"].parameters()))
    torch.autograd.grad((image.output * toward).sum(), list(nets["g"].parameters()))


def operations(name: str, objective: Objective, latent_size: int) -> Counter[str]:
    module = networks.find(name)
    with torch.device("meta"):
        config = module.Config(latent_size=latent_size)
        nets = module.build(config, resolution=RESOLUTION, image_channels=3, seed=0)
        batch = MicroBatch(
            images_seen=0,
            real_NCHW=torch.empty(BATCH, 3, RESOLUTION, RESOLUTION),
            slots_N=torch.arange(BATCH),
            global_batch=BATCH,
            micro_batches=1,
            noise={"z": torch.empty(BATCH, latent_size)},
        )
    state = objective.new_state(BATCH)
    with Operations() as counted:
        backward(objective.rounds[0](nets, batch, state), nets)
    return counted.counts


@families
def test_a_step_takes_few_operations(name: str) -> None:
    counts = operations(name, make_objective("pvdgan", latent_size=512), 512)
    convolutions = sum(n for at, n in counts.items() if "convolution" in at)
    most, most_convolutions = LIMITS[name]  # a new family needs a line there
    assert counts.total() <= most, counts
    assert convolutions <= most_convolutions, counts
