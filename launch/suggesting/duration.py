"""How long a run takes, from published times of StyleGAN2 and from steps measured here.

A step on b images a worker takes c₀ + b · FLOP / rate. FLOP of a step are 6 times those of one
image forward through all networks: 5.6 is what PVDGAN's step with `conv` takes (docs/results/
scaling.md, 0.54 of 0.096 TFLOP), and 6.6 what StyleGAN2's is reckoned at.

- **GPUs**: c₀ and the rate reproduce the times of StyleGAN2-ADA's `cfg=auto` on A100 (stylegan3,
  docs/configs.md) to within a fifth. From 1024 pixels on the rate is half. Other GPUs are scaled by
  the memory bandwidths of NVIDIA's data sheets: V100 from A100 so is 4 % off the same page.
- **Processors**: one core with 512-bit vectors (docs/results/speed.md and scaling.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ganinv import networks
from ganinv.augmentation.options import AugmentConfig
from ganinv.objectives.base import Objective, networks_asked
from ganinv.profiling.counting import FILTER, Counting
from ganinv.training.session import check_networks
from launch.options.schema import RunConfig
from launch.suggesting.task import Device, Task

STEP = 6.0  # FLOP of a step relative to one forward pass
# With augmentation, D judges clean images as well: real ones forward, generated ones also backward.
AUGMENTED_STEP = 8.0
FIXED_S: Mapping[bool, float] = {False: 0.104, True: 0.025}  # on a processor → c₀
A100 = 66e12  # FLOP/s beyond c₀, up to 512 pixels
CORE = 150e9
BANDWIDTH: Mapping[str, float] = {  # GB/s; A100 with 40 GB, SXM versions
    "l4": 300, "rtx3090": 936, "rtx4090": 1_008, "l40s": 864, "a100": 1_555, "h100": 3_350,
    "h200": 4_800,
}  # fmt: skip
LARGE = 1024  # pixels, from which memory limits
GROUPED = 0.1  # share of FLOP in convolutions with groups, from which the range is wider
# Least and most, relative to the estimate.
SPREAD: Mapping[bool, tuple[float, float]] = {False: (0.5, 2.0), True: (0.5, 3.0)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Hours:
    """The estimate, and the range that it is honest about."""

    estimate: float
    least: float
    most: float


class Flop(NamedTuple):
    """Of convolutions and matrix products; `grouped`: of these, in convolutions with groups."""

    total: int
    grouped: int


def rate(device: Device, side: int) -> float:
    """FLOP/s of one GPU or core."""
    if device == "cpu":
        return CORE
    return A100 * BANDWIDTH[device] / BANDWIDTH["a100"] / (2 if side >= LARGE else 1)


def step_s(
    device: Device, side: int, forward_flop: float, images: float, passes: float = STEP
) -> float:
    """Seconds of a step on `images` a worker. `forward_flop`: of one image."""
    return FIXED_S[device == "cpu"] + images * passes * forward_flop / rate(device, side)


def hours(task: Task, config: RunConfig, objective: Objective) -> Hours:
    """Of one stage, without data, evaluations and other nodes in the way.

    Raises `ConfigError` if the networks lack one that the method needs.
    """
    workers = config.cluster.sizes[-1]
    batch = config.train.global_batch
    flop = forward_flop(config, objective, task)
    augment: AugmentConfig | None = getattr(config.objective, "augment", None)
    passes = STEP if augment is None or not augment.on else AUGMENTED_STEP
    seconds = step_s(task.device, task.side, flop.total, batch / workers, passes)
    found = config.train.images / batch * seconds / 3600
    least, most = SPREAD[task.on_cpu]
    if flop.grouped > GROUPED * flop.total:
        most *= 2  # their speed is that of memory; nothing published says which
    return Hours(estimate=found, least=least * found, most=most * found)


def forward_flop(config: RunConfig, objective: Objective, task: Task) -> Flop:
    """Of one image through every network of the method; counted without computing anything."""
    module = networks.find(config.network.name)
    with torch.device("meta"):
        built = module.build(
            config.network,
            resolution=task.size.resolution,
            image_channels=3,
            seed=0,
            **networks_asked(objective),
        )
        check_networks(objective, built)
        code_BL = torch.empty(1, config.network.latent_size)
        image_BCHW = torch.empty(1, 3, task.size.height, task.size.width)
        with Counting() as counted, torch.no_grad():
            for name, role in objective.roles.items():
                if role.title in ("generator", "decoder"):
                    built[name](code_BL)
                elif role.kind == "pair_discriminator":
                    built[name](image_BCHW, code_BL)
                else:
                    built[name](image_BCHW)
    rows = [(p.kind, p.flop * times) for (_, p), times in counted.products.items()]
    grouped = sum(flop for kind, flop in rows if kind == FILTER)
    return Flop(total=sum(flop for _, flop in rows), grouped=grouped)
