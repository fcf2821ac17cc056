"""Measures how the variance traces of PVDGAN should begin, which no paper says.

v_r says how much noise the VAE half of a batch gets: √max(1 − v_r, 0). With v_r = 1 before the
first step it gets none for about a thousand steps, although the codes of real images say nothing
yet.

    one          v_f = v_r = 1 before the first step (the author's code of 2021)
    real-low     v_r = 1e-4, v_f = 1
    low          both 1e-4 (the author's code of 2024)
    corrected    both averages without their bias

Rule, written before the runs: a start replaces `one` as the default if, against `one`, it gains at
least 0.5 dB on held-out images at 4,000 images on each seed, and loses at most 0.2 dB on average at
the end; among several the best on average over both. Networks and data are the demo's.

    python -m benchmarks.trace_start --seeds 0 1 2 --images 24000

Writes docs/results/trace-start.{json,md}; a run that the JSON holds already is not repeated.
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.results import RESULTS, write_json
from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions
from ganinv import networks
from ganinv.latent_scale import TraceConfig
from ganinv.metrics.psnr import psnr_db
from ganinv.objectives import pvdgan
from ganinv.pictures import to_signed
from ganinv.seams.batches import Batch, Position
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.session import Session, new_session, train_batch

NAME = "trace-start"
STARTS: dict[str, dict[str, Any]] = {
    "one": {"initial": 1.0},
    "real-low": {"initial": 1.0, "initial_real": 1e-4},
    "low": {"initial": 1e-4},
    "corrected": {"bias_corrected": True},
}
RESOLUTION, BATCH, LATENT_SIZE, TRAIN, TEST = 32, 8, 64, 8192, 256
NETWORK = {"width": 16, "max_width": 128, "latent_size": LATENT_SIZE}
LOOK_AT = (1_000, 2_000, 4_000, 8_000, 16_000, 24_000, 48_000)  # images
EARLY, EARLY_GAIN_DB, LATE_LOSS_DB = 4_000, 0.5, 0.2


def pictures() -> Tensor:
    """Drawn faces, N × 3 × 32 × 32, uint8: those to train on, then those held out."""
    options = BuildOptions(images=TRAIN + TEST, resolution=RESOLUTION, seed=0)
    drawn = [s.image_HWC for work in AvatarSource(options).work(0) for s in work()]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).contiguous()


def session_for(start: str, seed: int) -> tuple[Session, TrainConfig]:
    options = dict(STARTS[start])
    own = {key: options.pop(key) for key in tuple(options) if key == "initial_real"}
    method = pvdgan.Config(trace=TraceConfig(**options), **own)
    config = TrainConfig(
        images=10**9, global_batch=BATCH, seed=seed, learning_rate=0.006, weight_average=0.998
    )
    family = networks.find("conv")
    built = family.build(
        family.Config(**NETWORK), resolution=RESOLUTION, image_channels=3, seed=seed
    )
    objective = pvdgan.Objective(method, LATENT_SIZE)
    device = torch.device("cpu")
    return new_session(
        objective, built, lambda n, o: LocalEngine(n, o), config=config, device=device
    ), config  # fmt: skip


def batches(images: Tensor, seed: int) -> Iterator[Batch]:
    """Batches of one epoch after another, each in an order of its own."""
    generator = torch.Generator().manual_seed(seed)
    seen = 0
    while True:
        for chosen in torch.randperm(TRAIN, generator=generator).split(BATCH):
            seen += BATCH
            yield Batch(
                images_BCHW=images[chosen],
                slots=tuple(range(BATCH)),
                keys=("",) * BATCH,
                after=Position(epoch=0, images=seen),
            )


@torch.no_grad()
def held_out_psnr(session: Session, images: Tensor) -> float:
    model = session.model()
    real = to_signed(images[TRAIN:])
    return float(psnr_db(model.decode(model.encode(real)).clamp(-1, 1), real).mean())


def measure(images: Tensor, start: str, seed: int, until: int) -> dict[str, Any]:
    session, config = session_for(start, seed)
    layout = lay_out_batch(config, 1)
    rows: dict[str, Any] = {}
    for batch in batches(images, seed):
        train_batch(session, batch, config, layout, no_reduction)
        if session.images_seen in LOOK_AT:
            rows[str(session.images_seen)] = {
                "psnr_db": held_out_psnr(session, images),
                "v_r": float(session.state["real"].mean()),
                "v_f": float(session.state["fake"].mean()),
            }
            print(start, seed, session.images_seen, rows[str(session.images_seen)], flush=True)
        if session.images_seen >= until:
            return rows
    raise AssertionError("batches never end")


def verdict(runs: dict[str, dict[str, Any]], seeds: list[int], until: int) -> dict[str, Any]:
    """The rule above, applied."""

    def gains(start: str, at: int) -> list[float]:
        return [
            runs[f"{start}/{s}"][str(at)]["psnr_db"] - runs[f"one/{s}"][str(at)]["psnr_db"]
            for s in seeds
        ]

    found: dict[str, Any] = {}
    for start in STARTS:
        early, late = gains(start, EARLY), gains(start, until)
        passes = min(early) >= EARLY_GAIN_DB and sum(late) / len(late) >= -LATE_LOSS_DB
        found[start] = {"early_db": early, "late_db": late, "passes": passes}
    passing = [start for start, row in found.items() if row["passes"]]
    best = max(
        passing, key=lambda s: math.fsum(found[s]["early_db"] + found[s]["late_db"]), default="one"
    )
    return {"starts": found, "chosen": best}


def write_page(runs: dict[str, dict[str, Any]], judged: dict[str, Any], seeds: list[int]) -> None:
    marks = sorted(map(int, next(iter(runs.values()))))
    lines = ["# How the traces of PVDGAN begin", "", (__doc__ or "").partition("\n\n")[2].strip()]
    lines += ["", "PSNR of held-out images in dB, one column per seed:", ""]
    lines += ["| images | " + " | ".join(STARTS) + " |", "|---" * (len(STARTS) + 1) + "|"]
    for mark in marks:
        cells = [
            " ".join(f"{runs[f'{start}/{seed}'][str(mark)]['psnr_db']:.2f}" for seed in seeds)
            for start in STARTS
        ]
        lines.append(f"| {mark:,} | " + " | ".join(cells) + " |")
    lines += ["", f"Chosen by the rule: `{judged['chosen']}`.", ""]
    (RESULTS / f"{NAME}.md").write_text("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=24_000, choices=LOOK_AT[2:])
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = pictures()
    file: Path = RESULTS / f"{NAME}.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    runs = known.get("runs", {}) if known.get("images") == options.images else {}
    for seed in options.seeds:
        for start in STARTS:
            if f"{start}/{seed}" not in runs:
                runs[f"{start}/{seed}"] = measure(images, start, seed, options.images)
                write_json(NAME, {"images": options.images, "runs": runs})
    judged = verdict(runs, options.seeds, options.images)
    write_json(NAME, {"images": options.images, "runs": runs, **judged})
    write_page(runs, judged, options.seeds)


if __name__ == "__main__":
    main()
