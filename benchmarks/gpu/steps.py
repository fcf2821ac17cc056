"""One process of a job of `python -m benchmarks.gpu`: trains on random images in memory.

The arguments are the job as JSON, and the file by which the job's processes meet. Rank 0 prints one
line of JSON for every batch, as soon as it is measured.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.results import spread
from benchmarks.scaling_measure import CountFlops, config_of
from cluster.collectives import all_reduce_sum
from cluster.workers.heap import keep_freed_memory
from ganinv import networks
from ganinv.precision import use_kernels_of
from ganinv.profiling.training import random_batch
from ganinv.training.acceleration import accelerated_rounds
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.session import MakeEngine, Session, new_session, train_batch
from launch.wiring.networks import new_objective

RECIPES = {False: ("ffhq256-pvdgan", 256), True: ("tiny-pvdgan", 16)}  # short → recipe, pixels
WINDOW_S = {False: 0.5, True: 0.01}  # short → how long a window lasts, about
WINDOWS = 5
WARM_UP = 3  # steps
WAIT_S = 120  # for other processes
RESUMED_AT, END = 3, 6  # steps


def main() -> None:
    job, meeting = json.loads(sys.argv[1]), sys.argv[2]
    device = torch.device(job["device"], int(os.environ["LOCAL_RANK"]))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
        keep_freed_memory()
        torch.set_num_threads(1)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        init_method=f"file://{meeting}",
        rank=int(os.environ["RANK"]),
        world_size=job["gpus"],
        timeout=timedelta(seconds=WAIT_S),
    )
    use_kernels_of(job["precision"], device, deterministic=job["deterministic"])
    try:
        for found in (resumption if job["kind"] == "resume" else speeds)(job, device):
            if dist.get_rank() == 0:
                print(json.dumps(found), flush=True)
    finally:
        dist.destroy_process_group()


def speeds(job: dict[str, Any], device: torch.device) -> Any:
    """Yields the figures of each batch; of the first one also the FLOP of an image."""
    for images in job["images"]:
        found: dict[str, Any] = {"images": images}
        try:
            found |= speed(job, images, device)
        except torch.OutOfMemoryError as error:
            found["out_of_memory"] = str(error).partition(". ")[0]
        yield found
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def speed(job: dict[str, Any], images: int, device: torch.device) -> dict[str, Any]:
    session, config = new_training(job, images, device)
    step = stepping(session, config, job["short"])
    found: dict[str, Any] = {}
    if images == job["images"][0]:
        rounds, session.rounds = session.rounds, None
        with CountFlops() as counted:
            step()
        found["flop_per_image"] = counted.total / images
        session.rounds = rounds
    began = time.perf_counter()
    step()
    wait(device)
    found["first_step_s"] = time.perf_counter() - began
    for _ in range(WARM_UP):
        step()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    steps = max(2, round(WINDOW_S[job["short"]] / timed(step, 1, device)))
    steps = int(all_reduce_sum(torch.tensor(float(steps))) / job["gpus"])  # equal on all ranks
    seconds = [timed(step, steps, device) for _ in range(WINDOWS)]
    found["images_per_s"] = spread([images * job["gpus"] / each for each in seconds])
    if device.type == "cuda":
        found["memory_bytes"] = torch.cuda.max_memory_allocated(device)
        found["reserved_bytes"] = torch.cuda.max_memory_reserved(device)
    return found


def timed(step: Callable[[], None], steps: int, device: torch.device) -> float:
    """Seconds of a step, on average; all ranks begin together, and the last one counts."""
    wait(device)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    wait(device)
    return (time.perf_counter() - began) / steps


def wait(device: torch.device) -> None:
    """Until all work of all ranks is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    all_reduce_sum(torch.zeros(1, dtype=torch.float64))


def resumption(job: dict[str, Any], device: torch.device) -> Any:
    """Whether a run is the same bits twice, and after it was resumed from its own state."""
    whole, state = trained(job, device, END, keep_at=RESUMED_AT)
    twice, _ = trained(job, device, END)
    resumed, _ = trained(job, device, END, resume=state)
    yield {
        "same_bits_twice": _equal(whole, twice),
        "same_bits_resumed": _equal(whole, resumed),
        "steps": END,
    }


def trained(
    job: dict[str, Any],
    device: torch.device,
    steps: int,
    *,
    keep_at: int | None = None,
    resume: dict[str, Any] | None = None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and traces after `steps` steps, and the state after `keep_at` steps."""
    session, config = new_training(job, 4, device)
    if resume is not None:
        _load(session, resume)
    step, kept = stepping(session, config, job["short"]), {}
    for number in range(RESUMED_AT if resume is not None else 0, steps):
        if number == keep_at:
            kept = _state(session)
        step()
    return _weights(session), kept


def new_training(
    job: dict[str, Any], images: int, device: torch.device
) -> tuple[Session, TrainConfig]:
    recipe, resolution = RECIPES[job["short"]]
    config = config_of(recipe)
    train = replace(
        config.train,
        global_batch=images * job["gpus"],
        micro_batch=None,
        precision=job["precision"],
        **{key: job[key] for key in ("compile", "cuda_graphs", "recompute_blocks")},
    )
    session = new_session(
        new_objective(config),
        networks.find(config.network.name).build(
            config.network, resolution=resolution, image_channels=3, seed=0
        ),
        _engine(job, train),
        config=train,
        device=device,
    )
    session.rounds = accelerated_rounds(session.objective, train)
    return session, train


def _engine(job: dict[str, Any], train: TrainConfig) -> MakeEngine:
    layout = lay_out_batch(train, job["gpus"])
    if job["engine"] == "flat":
        from cluster.flat_engine import FlatEngine

        return lambda network, optimizer: FlatEngine(
            network, optimizer, layout.micro_batches, precision=train.precision
        )
    from cluster.config import EngineConfig
    from cluster.engine import DeepSpeedEngine  # its import takes seconds

    return lambda network, optimizer: DeepSpeedEngine(
        network, optimizer, EngineConfig(), layout, train.precision
    )


def stepping(session: Session, config: TrainConfig, short: bool) -> Callable[[], None]:
    """A function that takes one step on this rank's share of a batch that stays the same."""
    layout = lay_out_batch(config, dist.get_world_size())
    resolution = RECIPES[short][1]
    batch = random_batch(session, config, layout, (3, resolution, resolution))

    def step() -> None:
        train_batch(session, batch, config, layout, all_reduce_sum)

    return step


def _state(session: Session) -> dict[str, Any]:
    moments: dict[str, dict[str, Any]] = {}
    for name, engine in session.engines.items():
        fragments, steps = engine.optimizer_fragments()
        by_moment: dict[str, dict[str, Tensor]] = {}
        shapes = dict(engine.network.named_parameters())
        for f in fragments:
            by_moment.setdefault(f.moment, {})[f.parameter] = f.values.clone().view_as(
                shapes[f.parameter]
            )
        moments[name] = {"moments": by_moment, "steps": steps}
    return {"weights": _weights(session), "moments": moments, "images_seen": session.images_seen}


def _load(session: Session, state: dict[str, Any]) -> None:
    with torch.no_grad():
        for name, tensor in _weights(session, copied=False).items():
            tensor.copy_(state["weights"][name])
    for name, engine in session.engines.items():
        own = state["moments"][name]
        engine.load_optimizer(own["moments"], own["steps"])
    session.images_seen = state["images_seen"]


def _weights(session: Session, *, copied: bool = True) -> dict[str, Tensor]:
    """All weights and traces by name."""
    found = {
        f"{name}/{key}": value.detach()
        for name, network in session.networks.items()
        for key, value in network.state_dict(keep_vars=True).items()
    } | {f"state/{name}": value for name, value in session.state.items()}
    return {name: value.clone() for name, value in found.items()} if copied else found


def _equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return all(torch.equal(found[name], value) for name, value in expected.items())


if __name__ == "__main__":
    main()
