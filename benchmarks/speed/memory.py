"""Part 2: memory of a training step at 256 pixels.

Counted: bytes of tensors alive at the peak, per image, at 607fd10 and here. Measured: the step of
the FFHQ-256 recipe by micro-batches, its resident memory, and its gradients against those of the
whole batch.

`python -m benchmarks.speed.memory JOB` takes one such step in this process, writes the gradients to
a file, and prints one line of JSON.
"""

import json
import os
import sys
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from benchmarks.scaling_measure import config_of
from benchmarks.speed.processes import HERE, last_line, script
from benchmarks.speed.step import BEFORE
from cluster.workers.heap import keep_freed_memory
from ganinv import networks, objectives
from ganinv.seams.batches import Position
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.config import lay_out_batch
from ganinv.training.session import cut_into_micro_batches, new_session
from ganinv.training.step import train_step
from tests.support.micro_batches import in_double
from tests.support.runs import RandomImages

RECIPE = "ffhq256-pvdgan"
RESOLUTION = 256
FAMILIES = ("conv", "stylegan2")  # with their default widths
COUNTED_BATCH = 2
MICRO_BATCH = 2
LIMIT_BYTES = 8 * 10**9
Gradients = dict[str, dict[str, Tensor]]  # network → parameter → gradient
MOMENTS = ("exp_avg", "exp_avg_sq")  # Adam's


def measure(against: Path, *, short: bool) -> dict[str, Any]:
    """Bytes of live tensors, and the recipe's step. `short`: at a fraction of the size."""
    resolution, images = (32, 4) if short else (RESOLUTION, config_of(RECIPE).train.global_batch)
    counted = {}
    for family in FAMILIES:
        case = {
            "family": family, "network": {}, "resolution": resolution, "batch": COUNTED_BATCH,
        }  # fmt: skip
        before, now = (script("live_bytes", place, case) for place in (against, HERE))
        less = 1 - now["bytes_per_image"] / before["bytes_per_image"]
        counted[family] = {BEFORE: before, "here": now, "less": less}
    return {"resolution": resolution, "counted": counted, "recipe": _recipe(images, resolution)}


def _recipe(images: int, resolution: int) -> dict[str, Any]:
    """The recipe's step by micro-batches and as a whole: its memory, and how gradients differ.

    A float32 gradient is itself inexact, so two images in float64 show whether micro-batches change
    the method, and how far both float32 gradients are from the exact one. Float64 takes many times
    as long.
    """
    with TemporaryDirectory() as folder:
        take = partial(_step_in_process, folder, resolution)
        steps = {
            "micro": take(images, MICRO_BATCH, double=False),
            "whole": take(images, images, double=False),
        }
        few = {
            f"{name}{double}": take(2, size, double=double)
            for double in (False, True)
            for name, size in (("micro", 1), ("whole", 2))
        }
        exact = few["wholeTrue"]["gradients"]
        return {
            "images": images,
            "threads": os.cpu_count(),
            "limit_bytes": LIMIT_BYTES,
            "difference": differences(steps["micro"]["gradients"], steps["whole"]["gradients"]),
            "two_images": {
                "float64": differences(few["microTrue"]["gradients"], exact),
                "float32_micro": differences(few["microFalse"]["gradients"], exact),
                "float32_whole": differences(few["wholeFalse"]["gradients"], exact),
            },
            "steps": {
                name: {key: value for key, value in step.items() if key != "gradients"}
                for name, step in steps.items()
            },
        }


def _step_in_process(
    folder: str, resolution: int, images: int, micro_batch: int, *, double: bool
) -> dict[str, Any]:
    """A step in a process of its own, and its gradients by network and parameter."""
    to = Path(folder) / "gradients.pt"
    job = {
        "images": images, "micro_batch": micro_batch, "resolution": resolution, "double": double,
        "to": str(to),
    }  # fmt: skip
    command = [sys.executable, "-m", "benchmarks.speed.memory", json.dumps(job)]
    found = last_line(command, cwd=HERE)
    return {"micro_batch": micro_batch, **found, "gradients": torch.load(to)}


def differences(found: Gradients, expected: Gradients) -> dict[str, float]:
    """`difference` of every network."""
    return {network: difference(found[network], expected[network]) for network in expected}


def difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """‖found − expected‖ / ‖expected‖ over all parameters of a network, in float64."""
    apart = sum(float((found[n].double() - g.double()).square().sum()) for n, g in expected.items())
    length = sum(float(g.double().square().sum()) for g in expected.values())
    return float((apart / length) ** 0.5)


@dataclass
class Keeping(LocalEngine):
    """Keeps a copy of the last step's gradients."""

    gradients: dict[str, Tensor] = field(default_factory=dict)

    def finish(self, *, apply: bool) -> None:
        self.gradients = {
            name: parameter.grad.clone()
            for name, parameter in self.network.named_parameters()
            if parameter.grad is not None
        }
        super().finish(apply=apply)


def one_step(job: dict[str, Any]) -> dict[str, Any]:
    """One step with optimizer states present, as in every step but the first."""
    config = config_of(RECIPE)
    train = replace(config.train, global_batch=job["images"], micro_batch=job["micro_batch"])
    layout = lay_out_batch(train, 1)
    method = objectives.find(config.objective.name)
    built = networks.find(config.network.name).build(
        config.network, resolution=job["resolution"], image_channels=3, seed=0
    )
    session = new_session(
        method.Objective(config.objective, config.network.latent_size),
        {name: n.double() for name, n in built.items()} if job["double"] else built,
        lambda network, optimizer: Keeping(network, optimizer, layout.per_rank),
        config=train,
        device=torch.device("cpu"),
    )
    for engine in session.engines.values():
        zeros = {n: torch.zeros_like(p) for n, p in engine.network.named_parameters()}
        engine.load_optimizer(dict.fromkeys(MOMENTS, zeros), 1)
    source = RandomImages(job["images"], resolution=job["resolution"])
    batch = next(source.batches(Position(epoch=0, images=0)))
    batches = cut_into_micro_batches(session, batch, train, layout)
    if job["double"]:
        batches = [in_double(micro_batch) for micro_batch in batches]
    began = time.perf_counter()
    result = train_step(session.objective, session.engines, batches, session.state, no_reduction)
    seconds = time.perf_counter() - began
    assert result.applied, result.nonfinite  # noqa: S101
    gradients = {name: e.gradients for name, e in session.engines.items() if isinstance(e, Keeping)}
    resident = most_resident_bytes()
    torch.save(gradients, job["to"])
    return {"seconds": seconds, "resident_bytes": resident}


def most_resident_bytes() -> int:
    """The most memory that this process has had; unlike `ru_maxrss`, without its parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status names no VmHWM")


if __name__ == "__main__":
    keep_freed_memory()
    print(json.dumps(one_step(json.loads(sys.argv[1]))))
