"""R1 and R2 in first-order form against double backward, on R3GAN's networks.

    OMP_NUM_THREADS=1 python -m benchmarks.first_order          # about two minutes
    OMP_NUM_THREADS=1 python -m benchmarks.first_order --short  # tiny, to see that it runs

Steps of DLSGAN with the relativistic loss, R1 and R2 on images in memory. Both sides have the same
networks and the same optimizer and take turns in one process; they differ in one attribute of D.
Aim, set before the first run: 2 times as many images per second of processor time.

Bytes of tensors alive at the peak of a step are counted on the meta device, per image, as in
docs/results/speed.md. Writes docs/results/first-order.json and .md.
"""

import argparse
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.results import RESULTS, spread, write_json
from benchmarks.speed.live_bytes import Live
from cluster.workers.heap import keep_freed_memory
from ganinv import networks, objectives
from ganinv.objectives.base import MicroBatch, Objective
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.step import train_step

NAME = "first-order"
AIM = 2.0
SIDES = {"first order": True, "double backward": False}  # D's `piecewise_linear`
LOSSES = {"adversarial": "relativistic", "lambda_r1": 1.0, "lambda_r2": 1.0}
SMALL: dict[str, Any] = {"latent_size": 64, "width": 64, "max_width": 128}
CASES: dict[str, dict[str, Any]] = {  # timed
    "r3gan, 32 pixels": {"family": "r3gan", "network": SMALL, "resolution": 32, "batch": 16},
    "r3gan, 64 pixels": {
        "family": "r3gan", "network": {**SMALL, "width": 32}, "resolution": 64, "batch": 8,
    },
    "r3gan, 32 pixels, 32 groups in every block": {
        "family": "r3gan", "network": {**SMALL, "width": 256, "max_width": 256},
        "resolution": 32, "batch": 2,
    },
    "conv, 32 pixels": {
        "family": "conv", "network": {**SMALL, "width": 32}, "resolution": 32, "batch": 16,
    },
}  # fmt: skip
COUNTED = {"family": "r3gan", "network": {}, "resolution": 256, "batch": 2}  # published widths
TURNS, STEPS = 7, 1
WHY = """Counted in passes through D (forward, toward inputs, toward weights), real images take 4 in
place of 6. Generated ones take 7 either way: the loss of the encoder and that of G need backward
passes of their own beside that of R2. With 3 of G, a step takes 14 in place of 16. What is gained
beyond that is the loop of the double backward over groups. It matters most where operations are
many and small, as on GPUs, for which nothing was measured."""


def networks_of(case: Mapping[str, Any], *, first_order: bool) -> dict[str, nn.Module]:
    module = networks.find(case["family"])
    pair = module.build(
        module.Config(**case["network"]), resolution=case["resolution"], image_channels=3, seed=0
    )
    pair["d"].piecewise_linear = first_order
    return dict(pair)


def objective_of(case: Mapping[str, Any]) -> Objective:
    size = networks.find(case["family"]).Config(**case["network"]).latent_size
    method = objectives.find("dlsgan")
    objective: Objective = method.Objective(method.Config(**LOSSES), size)
    return objective


def micro_batch(objective: Objective, images_BCHW: Tensor, step: int) -> MicroBatch:
    batch = len(images_BCHW)
    return MicroBatch(
        images_seen=step * batch,
        real_NCHW=images_BCHW,
        slots_N=torch.arange(batch),
        global_batch=batch,
        micro_batches=1,
        noise={"z": torch.randn(batch, objective.latent.size, device=images_BCHW.device)},
    )


class Side:
    """A training with one form of the penalties."""

    def __init__(self, case: Mapping[str, Any], *, first_order: bool) -> None:
        torch.manual_seed(0)
        self.objective = objective_of(case)
        nets = networks_of(case, first_order=first_order)
        self.engines = {
            name: LocalEngine(net, torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.0, 0.9)))
            for name, net in nets.items()
        }
        pixels = case["resolution"]
        self.images_BCHW = torch.rand(case["batch"], 3, pixels, pixels) * 2 - 1
        self.state = self.objective.new_state(case["batch"])
        self.taken = 0

    def images_per_cpu_s(self, steps: int) -> float:
        begin = time.process_time()
        for _ in range(steps):
            batch = micro_batch(self.objective, self.images_BCHW, self.taken)
            result = train_step(self.objective, self.engines, [batch], self.state, no_reduction)
            self.state = result.state
            self.taken += 1
        return steps * len(self.images_BCHW) / (time.process_time() - begin)


def timed(case: Mapping[str, Any], turns: int) -> dict[str, Any]:
    """Rates of both sides, and their ratios in the same turn."""
    sides = {name: Side(case, first_order=first) for name, first in SIDES.items()}
    for side in sides.values():
        side.images_per_cpu_s(1)
    rows = [
        {name: side.images_per_cpu_s(STEPS) for name, side in sides.items()} for _ in range(turns)
    ]
    first, second = SIDES
    return {
        "case": dict(case),
        "images_per_cpu_s": {name: spread([row[name] for row in rows]) for name in SIDES},
        "ratio": spread([row[first] / row[second] for row in rows]),
    }


def counted(case: Mapping[str, Any], *, first_order: bool) -> dict[str, int]:
    """Bytes per image at the peak of a step, and its operations: on the meta device."""
    peaks = [_live(case, times * case["batch"], first_order=first_order) for times in (1, 2)]
    return {
        "bytes_per_image": (peaks[1].peak - peaks[0].peak) // case["batch"],
        "operations": peaks[0].operations,
    }


def _live(case: Mapping[str, Any], batch: int, *, first_order: bool) -> Live:
    objective = objective_of(case)
    pixels = case["resolution"]
    with torch.device("meta"):
        nets = networks_of(case, first_order=first_order)
        given = micro_batch(objective, torch.empty(batch, 3, pixels, pixels), 0)
        live = Live()
        with live:
            output = objective.rounds[0](nets, given, objective.new_state(batch))
            (image,) = output.losses["g"].through
            (toward,) = torch.autograd.grad(output.losses["g"].value, image.leaf, retain_graph=True)
            torch.autograd.grad(output.losses["d"].value, list(nets["d"].parameters()))
            torch.autograd.grad((image.output * toward).sum(), list(nets["g"].parameters()))
    return live


def write_page(found: Mapping[str, Any]) -> None:
    lines = ["# R1 and R2 without double backward", ""]
    lines += ["Written by `python -m benchmarks.first_order`, which says what is measured; all"]
    lines += ["numbers are in [first-order.json](first-order.json).", ""]
    lines += ["Images per second of processor time, whole training steps, one thread; medians of"]
    lines += [f"{found['turns']} turns, with the least and the most in parentheses.", ""]
    lines += ["| networks | double backward | first order | ratio |", "|---|---|---|---|"]
    for name, row in found["timed"].items():
        rates = row["images_per_cpu_s"]
        cells = [_cell(rates["double backward"], 1), _cell(rates["first order"], 1)]
        lines.append(f"| {name} | {' | '.join(cells)} | {_cell(row['ratio'], 2)} |")
    ratios = [v["ratio"]["median"] for n, v in found["timed"].items() if n.startswith("r3gan")]
    reached = "reached" if min(ratios) >= found["aim"] else "not reached"
    lines += ["", f"Aim for `r3gan`: {found['aim']:.0f}, {reached}.", ""]
    lines += [WHY, ""]
    lines += ["Bytes of tensors alive at the peak of a step, per image, and operations of a step;"]
    lines += ["at 256 pixels with the published widths:", ""]
    lines += ["| | MiB per image | operations |", "|---|---|---|"]
    for name, row in found["counted"].items():
        lines.append(f"| {name} | {row['bytes_per_image'] / 2**20:.0f} | {row['operations']:,} |")
    (RESULTS / f"{NAME}.md").write_text("\n".join(lines) + "\n")


def _cell(values: Mapping[str, float], digits: int) -> str:
    median, least, most = (f"{values[key]:.{digits}f}" for key in ("median", "least", "most"))
    return f"{median} ({least}–{most})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="tiny, and nothing is written")
    short = parser.parse_args().short
    torch.set_num_threads(1)
    keep_freed_memory()
    turns = 1 if short else TURNS
    found: dict[str, Any] = {"aim": AIM, "turns": turns, "losses": LOSSES, "timed": {}}
    for name, case in CASES.items():
        tiny = {**case, "network": {**SMALL, "width": 8, "max_width": 16}, "batch": 2}
        found["timed"][name] = timed(tiny if short else case, turns)
        print(name, found["timed"][name]["ratio"], flush=True)
    small = {**COUNTED, "resolution": 32} if short else COUNTED
    found["counted"] = {name: counted(small, first_order=first) for name, first in SIDES.items()}
    print(found["counted"], flush=True)
    if not short:
        write_json(NAME, found)
        write_page(found)


if __name__ == "__main__":
    main()
