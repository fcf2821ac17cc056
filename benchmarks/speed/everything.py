"""Part 4: a complete training against its bare step, at the same thread count.

The training is `ganinv train` with one worker: Ray, DeepSpeed, shards on local disk, the exporter
of metrics and checkpoints. Its pace is read from `metrics.jsonl`. The bare step trains on images
in memory, before and after.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.results import spread
from benchmarks.speed.limit import RECIPE, SIZES
from benchmarks.speed.processes import HERE, LONGEST_S, Training
from benchmarks.speed.step import CONV

BATCH: int = CONV["batch"]
TRAINED_S = 75.0  # about; the first rows are not counted
ROWS_LEFT_OUT = 2
STEPS_PER_ROW = 10
BARE_WINDOWS = 5  # before, and as many after


def measure(folder: Path, *, short: bool) -> dict[str, Any]:
    """Images per second of wall time. `folder` keeps the data set."""
    data = avatars(folder, CONV["resolution"], 1024)
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    windows = 1 if short else BARE_WINDOWS
    with Training(HERE, {**CONV, "precision": "fp32"}) as bare:
        before = [_rate(bare) for _ in range(windows)]
        rows = 5 if short else round(TRAINED_S * spread(before)["median"] / BATCH / STEPS_PER_ROW)
        pace = _train(run, data, max(rows, ROWS_LEFT_OUT + 2) * STEPS_PER_ROW * BATCH)
        after = [_rate(bare) for _ in range(windows)]
    alone = spread([*before, *after])
    return {
        **pace,
        "bare_before": spread(before),
        "bare_after": spread(after),
        "slower": 1 - pace["images_per_s"] / alone["median"],
    }


def _rate(bare: Training) -> float:
    window = bare.take(3)
    return window["images"] / window["wall_s"]


def _train(run: Path, data: Path, images: int) -> dict[str, Any]:
    """Train; the pace between two rows of metrics, with a checkpoint between them."""
    launch(
        "train", RECIPE, f"storage.run={run}", f"data.url={data}", *SIZES,
        "train.learning_rate=0.003", f"train.images={images}", "cluster.workers=1",
        f"train.log_every={STEPS_PER_ROW * BATCH}", f"train.checkpoint_every={images // 2}",
        "evaluate.every=1_000_000_000", "evaluate.features=[]",
    )  # fmt: skip
    lines = (run / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines][ROWS_LEFT_OUT:]
    seconds = rows[-1]["wall_time"] - rows[0]["wall_time"]
    seen = rows[-1]["images_seen"] - rows[0]["images_seen"]
    return {"images": seen, "seconds": seconds, "images_per_s": seen / seconds}


def avatars(folder: Path, resolution: int, images: int) -> Path:
    """A data set of drawn avatars, built once."""
    place = folder / f"avatars{resolution}-{images}"
    if not (place / "index.json").exists():
        shutil.rmtree(place, ignore_errors=True)
        launch(
            "data", "build", "avatars", f"data.url={place}", f"data.images={images}",
            f"data.resolution={resolution}",
        )  # fmt: skip
    return place


def launch(*words: str) -> None:
    """Run a command of this checkout; its output goes to standard error."""
    command = [sys.executable, "-m", "launch", *words]
    subprocess.run(  # noqa: S603 (ourselves)
        command, cwd=HERE, stdout=sys.stderr, check=True, timeout=LONGEST_S
    )
