"""Part 5: the encoder against optimisation of the code, at equal PSNR, on held-out images.

The recipe of the demo is trained on drawn avatars by `ganinv train`, with half of its images; or a
model that exists is taken. Optimisation is Adam on the code, from the mean code, for all images of
a batch at once; it ends when the mean PSNR of the batch reaches the encoder's. Its learning rate is
the one that needs the fewest steps. Both are timed with one thread and the same batch.
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
from ganinv.metrics.psnr import psnr_db
from ganinv.model import InvertibleGan
from ganinv.pictures import to_signed

RECIPE = "avatars32-pvdgan"
RESOLUTION = 32
DRAWN = 4096  # images of the data set
INVERTED = 64  # held-out images
TRAINED_IMAGES = 24_000  # about four minutes on two cores
LEARNING_RATES = (0.02, 0.05, 0.1, 0.2)  # of Adam on the code, with PyTorch's other defaults
MOST_STEPS = 2000
REPEATS = 7


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
    target_B = psnr_db(model.reconstruct(real_BCHW), real_BCHW)
    target_db, most = float(target_B.mean()), most_steps
    tried = {}
    for rate in LEARNING_RATES:
        tried[rate] = optimise(model, real_BCHW, rate, target_db, most)
        most = min(most, tried[rate]["steps"])  # more steps than the best rate are of no interest
    rate, best = min(
        tried.items(),
        key=lambda item: (not item[1]["reached"], item[1]["steps"], -item[1]["psnr_db"]),
    )
    step_s = best["cpu_s"] / best["steps"]
    return {
        "images": len(real_BCHW),
        "encoder": {
            "psnr_db": float(target_B.mean()),
            "s_per_image": {key: value / len(real_BCHW) for key, value in encoder_s.items()},
        },
        "optimisation": {
            "learning_rate": rate,
            **best,
            "s_per_step_and_image": step_s / len(real_BCHW),
        },
        "learning_rates": {str(rate): found for rate, found in tried.items()},
        "ratio": best["cpu_s"] / encoder_s["median"],
    }


def optimise(
    model: InvertibleGan, real_BCHW: Tensor, rate: float, target_db: float, most_steps: int
) -> dict[str, Any]:
    """Adam on the codes from the mean code, until the mean PSNR reaches `target_db`."""
    code_BL = torch.zeros(len(real_BCHW), model.latent_size, requires_grad=True)
    optimizer = torch.optim.Adam([code_BL], lr=rate)
    psnr, steps, began = float("-inf"), 0, time.process_time()
    while steps < most_steps:
        image_BCHW = model.codec.decode(code_BL)
        psnr = float(psnr_db(image_BCHW.detach().clamp(-1, 1), real_BCHW).mean())
        if psnr >= target_db:
            break
        optimizer.zero_grad(set_to_none=True)
        (image_BCHW - real_BCHW).square().sum().backward(inputs=[code_BL])
        optimizer.step()
        steps += 1
    return {
        "reached": psnr >= target_db,
        "steps": max(steps, 1),
        "psnr_db": psnr,
        "cpu_s": time.process_time() - began,
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
