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
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.results import RESULTS, write_json
from benchmarks.small_training import Training, as_batch, held_out_psnr, run
from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions, Sample

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
    drawn = [sample for work in AvatarSource(options).work(0) for sample in work()]
    return as_batch([sample.image_HWC for sample in drawn if isinstance(sample, Sample)])


def measure(images: Tensor, start: str, seed: int, until: int) -> dict[str, Any]:
    trace = dict(STARTS[start])
    options = {key: trace.pop(key) for key in tuple(trace) if key == "initial_real"}
    training = Training(
        method="pvdgan",
        options=options,
        trace=trace,
        network=NETWORK,
        resolution=RESOLUTION,
        train={"global_batch": BATCH, "learning_rate": 0.006, "weight_average": 0.998},
    )
    rows: dict[str, Any] = {}
    for session in run(training, images[:TRAIN], seed):
        if session.images_seen in LOOK_AT:
            rows[str(session.images_seen)] = {
                "psnr_db": held_out_psnr(session, images[TRAIN:]),
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
