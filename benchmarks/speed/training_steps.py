"""A process that trains on images in memory, in the checkout of the current directory.

Runs in this checkout and in one of commit 607fd10, whose interface differs, so it imports nothing
of `benchmarks`. The argument is a case as JSON; each line of standard input is a number of steps,
and each line of standard output the time that they took. `processes.py` starts it.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from ganinv import networks, objectives

WARM_UP = 2  # steps


def is_present() -> bool:
    """Whether the checkout is newer than 607fd10, where `ganinv.training` is one module."""
    return Path("ganinv/training").is_dir()


def built(case: dict[str, Any]) -> Any:
    """The networks of a case, at their initial weights."""
    module = networks.find(case["family"])
    return module.build(
        module.Config(**case["network"]), resolution=case["resolution"], image_channels=3, seed=0
    )


def random_images(case: dict[str, Any]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (case["batch"], 3, case["resolution"], case["resolution"])
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def present(case: dict[str, Any]) -> Callable[[], object]:
    """A training step of PVDGAN as this checkout makes it."""
    from ganinv.seams.batches import Batch, Position
    from ganinv.seams.engine import LocalEngine, no_reduction
    from ganinv.training.config import TrainConfig, lay_out_batch
    from ganinv.training.session import new_session, train_batch

    class InPrecision(LocalEngine):
        def autocast(self) -> AbstractContextManager[Any]:
            if case["precision"] == "bf16":
                return torch.autocast("cpu", dtype=torch.bfloat16)
            return nullcontext()

    config = TrainConfig(images=10**9, global_batch=case["batch"])
    method = objectives.find("pvdgan")
    session = new_session(
        method.Objective(method.Config(), case["network"]["latent_size"]),
        built(case),
        InPrecision,
        config=config,
        device=torch.device("cpu"),
    )
    layout = lay_out_batch(config, 1)
    batch = Batch(
        images_BCHW=random_images(case),
        slots=tuple(range(case["batch"])),
        keys=("",) * case["batch"],
        after=Position(epoch=0, images=0),
    )
    return lambda: train_batch(session, batch, config, layout, no_reduction)


def as_at_607fd10(case: dict[str, Any]) -> Callable[[], object]:
    """The same by the interface of 607fd10; always in float32."""
    training: Any = importlib.import_module("ganinv.training")
    seams: Any = importlib.import_module("ganinv.seams")
    config = training.TrainConfig(images=10**9, global_batch=case["batch"])
    method = objectives.find("pvdgan")
    session = training.new_session(
        method.Objective(method.Config()),
        built(case),
        lambda network: seams.LocalEngine(network, config.optimizer(network)),
        config=config,
        latent_size=case["network"]["latent_size"],
        device=torch.device("cpu"),
    )
    split = training.split_batch(config, 1)
    batch = seams.Batch(
        images_BCHW=random_images(case),
        slots=tuple(range(case["batch"])),
        keys=("",) * case["batch"],
        after=seams.Position(epoch=0, images=0),
    )
    return lambda: training.train_batch(session, batch, config, split, seams.no_reduction)


def main() -> None:
    case = json.loads(sys.argv[1])
    heap: Any = importlib.import_module("cluster.workers.heap" if is_present() else "cluster.heap")
    heap.keep_freed_memory()  # as workers of a training do
    torch.set_num_threads(1)
    step = present(case) if is_present() else as_at_607fd10(case)
    for _ in range(WARM_UP):
        assert step(), "a step was void"  # noqa: S101
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step()
        spent = {
            "cpu_s": time.process_time() - processor, "wall_s": time.perf_counter() - wall
        }  # fmt: skip
        print(json.dumps({"images": int(line) * case["batch"], **spent}), flush=True)


if __name__ == "__main__":
    main()
