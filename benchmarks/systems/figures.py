"""What LIA's table 3 measures, on one system: reconstructions of held-out images, and samples."""

import time
from collections.abc import Callable

from torch import Tensor

from benchmarks.systems.classifier import Judge
from benchmarks.systems.photographs import Photographs
from ganinv.inversion.optimise import Optimisation, OptimiseConfig
from ganinv.metrics.frechet import frechet_distance, moments
from ganinv.metrics.psnr import psnr_db
from ganinv.metrics.swd_patches import OwnImages, levels, patch_distances
from ganinv.model import InvertibleGan
from ganinv.pictures import to_bytes, to_signed

HELD_OUT = 512
SAMPLE_SEED = 11
OPTIMISED = OptimiseConfig(steps=300, starts=["mean"], features="none")  # "MSE-opt" of the paper


def by_encoder(model: InvertibleGan, data: Photographs, judge: Judge) -> dict[str, float]:
    """Figures of `decode(encode(x))`."""
    return _figures(model, data, judge, model.reconstruct)


def by_optimisation(model: InvertibleGan, data: Photographs, judge: Judge) -> dict[str, float]:
    """Figures of the images of codes that descent from the mean code has found, without encoder."""
    search = Optimisation(model, OPTIMISED)
    return _figures(model, data, judge, lambda real_BCHW: search(real_BCHW).image_NCHW)


def _figures(
    model: InvertibleGan,
    data: Photographs,
    judge: Judge,
    reconstruct: Callable[[Tensor], Tensor],
) -> dict[str, float]:
    real_BCHW = to_signed(data.test_BCHW[:HELD_OUT])
    began = time.process_time()
    again_BCHW = reconstruct(real_BCHW)
    took = time.process_time() - began
    made_BCHW = model.sample(HELD_OUT, SAMPLE_SEED)
    return {
        "mse": 1000 * float((again_BCHW - real_BCHW).square().mean()),
        "swd": _patches(real_BCHW, again_BCHW),
        "rfd": _frechet(judge, real_BCHW, again_BCHW),
        "fd": _frechet(judge, real_BCHW, made_BCHW),
        "psnr": float(psnr_db(again_BCHW, real_BCHW).mean()),
        "cpu_ms": 1000 * took / HELD_OUT,
    }


def _frechet(judge: Judge, first_BCHW: Tensor, second_BCHW: Tensor) -> float:
    first, second = (moments(judge.features(images)) for images in (first_BCHW, second_BCHW))
    return frechet_distance(first, second)


def _patches(real_BCHW: Tensor, again_BCHW: Tensor) -> float:
    """Mean over the levels of the pyramid."""
    numbers = range(len(real_BCHW))
    sets = []
    for purpose, image_BCHW in (("real", real_BCHW), ("fake", again_BCHW)):
        own = OwnImages(purpose)
        own.put(numbers, to_bytes(image_BCHW))
        sets.append(own)
    found = patch_distances(
        sets[0], sets[1], (numbers, numbers), count=len(numbers),
        sides=levels(*real_BCHW.shape[2:]), seed=0,
    )  # fmt: skip
    return sum(found.values()) / len(found)
