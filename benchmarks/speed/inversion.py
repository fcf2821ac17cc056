"""Part 5: the encoder against optimisation of the code, at equal PSNR, on held-out images.

The recipe of the demo is trained on drawn avatars by `ganinv train`, with half of its images; or a
model that exists is taken. Optimisation is that of `ganinv.inversion`, from the mean code and on
the squared error alone, for all images of a batch at once; each image ends when its PSNR reaches
that of the encoder. The learning rate is the one that needs the fewest steps. Both are timed with
one thread and the same batch.
"""

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ganinv
from benchmarks.results import spread
from benchmarks.speed.everything import avatars, launch
from cluster.storage.opening import open_store
from cluster.workers.heap import keep_freed_memory
from datasets.shards.index import Index
from datasets.streaming.samples import read_samples
from ganinv.inversion.optimise import Optimisation, OptimiseConfig
from ganinv.metrics.psnr import psnr_db
from ganinv.model import InvertibleGan
from ganinv.pictures import to_signed

RECIPE = "avatars32-pvdgan"
RESOLUTION = 32
DRAWN = 4096  # images of the data set
INVERTED = 64  # held-out images
TRAINED_IMAGES = 24_000  # about four minutes on two cores
LEARNING_RATES = (0.02, 0.05, 0.1, 0.2)  # of Adam on the code, at the first step
MOST_STEPS = 2000
REPEATS = 7
TOLERANCE_DB = 1e-3  # of the target, which goes through another type


def measure(folder: Path, model: str | None, *, short: bool) -> dict[str, Any]:
    """Train, invert both ways, and compare. `folder` keeps data and run.

    `model`: a run or an export on avatars of 32 pixels, to be used instead of training.
    """
    keep_freed_memory()
    torch.set_num_threads(1)
    images = 64 if short else TRAINED_IMAGES
    data = avatars(folder, RESOLUTION, 256 if short else DRAWN)
    place = model or _trained(folder / f"inverted-{images}", data, images)
    store = open_store(str(data))
    index = Index.load(store)
    count = min(INVERTED, index.samples("test"))
    held_out, _, _ = read_samples(store, index, "test", 0, count)
    found = compare(ganinv.load(place), to_signed(held_out), 30 if short else MOST_STEPS)
    return {
        "recipe": RECIPE,
        "resolution": RESOLUTION,
        "images_trained": None if model else images,
        **found,
    }


def _trained(run: Path, data: Path, images: int) -> str:
    launch(
        "train", RECIPE, f"storage.run={run}", f"data.url={data}", f"train.images={images}",
        "evaluate.every=1_000_000_000", "evaluate.features=[]",
    )  # fmt: skip
    return str(run)


def compare(model: InvertibleGan, real_BCHW: Tensor, most_steps: int) -> dict[str, Any]:
    """Processor time per image of both ways, and the steps that optimisation takes."""
    encoder_s = _seconds(lambda: model.reconstruct(real_BCHW), REPEATS)
    target_B, most = psnr_db(model.reconstruct(real_BCHW), real_BCHW), most_steps
    tried = {}
    for rate in LEARNING_RATES:
        tried[rate] = optimise(model, real_BCHW, rate, target_B, most)
    rate, best = min(
        tried.items(),
        key=lambda item: (not item[1]["reached"], item[1]["steps"], -item[1]["psnr_db"]),
    )
    return {
        "images": len(real_BCHW),
        "encoder": {
            "psnr_db": float(target_B.mean()),
            "s_per_image": {key: value / len(real_BCHW) for key, value in encoder_s.items()},
        },
        "optimisation": {
            "learning_rate": rate,
            **best,
            "s_per_step_and_image": best["cpu_s"] / best["evaluations"],
        },
        "learning_rates": {str(rate): found for rate, found in tried.items()},
        "ratio": best["cpu_s"] / encoder_s["median"],
    }


def optimise(
    model: InvertibleGan, real_BCHW: Tensor, rate: float, target_B: Tensor, most_steps: int
) -> dict[str, Any]:
    """Adam on the codes from the mean code, until each image has its `target_B`, a PSNR in dB."""
    config = OptimiseConfig(
        space="z", starts=["mean"], features="none", learning_rate=rate, steps=most_steps,
        patience=most_steps,
    )  # fmt: skip
    optimisation = Optimisation(model, config)
    began = time.process_time()
    found = optimisation(real_BCHW, target_error_N=4 * 10 ** (-target_B / 10))
    cpu_s = time.process_time() - began
    psnr_B = psnr_db(found.image_NCHW, real_BCHW)
    steps_B = found.evaluations_N - 1
    return {
        "reached": bool((psnr_B >= target_B - TOLERANCE_DB).all()),
        "steps": max(float(steps_B.double().mean()), 1.0),
        "most_steps": int(steps_B.max()),
        "psnr_db": float(psnr_B.mean()),
        "evaluations": int(found.evaluations_N.sum()),
        "cpu_s": cpu_s,
    }


def _seconds(work: Any, repeats: int) -> dict[str, float]:
    """Processor time of a function, after a first call that is not counted."""
    work()
    spent = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return spread(spent)
