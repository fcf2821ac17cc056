"""Refinement, pivotal tuning and optimisation from every start, on held-out images of one model.

    python -m benchmarks.refinement MODEL DATA

MODEL: a run or an export; DATA: the data set it was trained on. Writes docs/results/refinement.json
and a strip of pictures, `refinement.png`. Times are those of the processor, with one thread.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

import ganinv
from benchmarks.results import RESULTS, write_json
from cluster.storage.opening import open_store
from cluster.workers.heap import keep_freed_memory
from datasets.shards.index import Index
from datasets.streaming.samples import read_samples
from ganinv.inversion.optimise import Inversion, Optimisation, OptimiseConfig, RefineConfig
from ganinv.inversion.prior import Prior
from ganinv.inversion.tuning import TuneConfig, Tuning
from ganinv.metrics.psnr import psnr_db
from ganinv.metrics.ssim import ssim
from ganinv.model import InvertibleGan
from ganinv.pictures import to_bytes, to_signed
from launch.inversion.strip import strip

REFINED = 48  # held-out images
TUNED = 8  # of these
OPTIMISED = 8
VARIANTS = {
    "refined": RefineConfig(),
    "without the prior": RefineConfig(prior_weight=0),
    "in z": RefineConfig(space="z"),
}
OPTIMISATION = OptimiseConfig(random_starts=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data")
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    store = open_store(options.data)
    held_out, _, _ = read_samples(store, Index.load(store), "test", 0, REFINED)
    model = ganinv.load(options.model, device="cpu")
    write_json("refinement", measure(model, to_signed(held_out)))


def measure(model: InvertibleGan, real_BCHW: Tensor) -> dict[str, Any]:
    encode_s, code_BL = _timed(lambda: model.encode(real_BCHW))
    decode_s, decoded_BCHW = _timed(lambda: model.decode(code_BL))
    found: dict[str, Any] = {"images": len(real_BCHW)}
    point = model.codec.spaces["z"].of_code(code_BL)
    found["encoder"] = figures(model, real_BCHW, decoded_BCHW, point, "z")
    found["encoder"]["cpu_s_per_image"] = (encode_s + decode_s) / len(real_BCHW)
    shown = [real_BCHW, decoded_BCHW]
    for name, config in VARIANTS.items():
        inversion = inverted(model, real_BCHW, config, found.setdefault(name, {}))
        if name == "refined":
            shown.append(inversion.image_NCHW)
            found["tuned"], tuned_BCHW = tuning(model, real_BCHW[:TUNED], inversion)
    found["optimised"] = {}
    for space in model.codec.spaces:
        chosen = replace(OPTIMISATION, space=space)
        inverted(model, real_BCHW[:OPTIMISED], chosen, found["optimised"].setdefault(space, {}))
    columns = torch.stack([to_bytes(image[:TUNED]) for image in (*shown, tuned_BCHW)], dim=1)
    strip(list(columns)).save(RESULTS / "refinement.png")
    return found


def inverted(
    model: InvertibleGan, real_BCHW: Tensor, config: OptimiseConfig, found: dict[str, Any]
) -> Inversion:
    """Invert, and put figures and curves into `found`."""
    optimisation = Optimisation(model, config)
    inversion: Inversion
    cpu_s, inversion = _timed(lambda: optimisation(real_BCHW))
    images = len(real_BCHW)
    found |= figures(model, real_BCHW, inversion.image_NCHW, inversion.point, inversion.space)
    found |= {
        "images": images,
        "cpu_s_per_image": cpu_s / images,
        "evaluations_per_image": float(inversion.evaluations_N.double().mean()),
        "options": asdict(config),
        "starts": {
            start: {
                "first_psnr_db": float((10 * torch.log10(4 / error_NT[:, 0])).mean()),
                "best_psnr_db": float((10 * torch.log10(4 / _lowest(error_NT))).mean()),
                "best_of_images": inversion.start.count(start),
            }
            for start, error_NT in inversion.error.items()
        },
    }
    return inversion


def tuning(
    model: InvertibleGan, real_BCHW: Tensor, inversion: Inversion
) -> tuple[dict[str, Any], Tensor]:
    """Pivotal tuning of the first images: figures, and images."""
    config = RefineConfig()
    tune = Tuning(model, TuneConfig(), model.codec.feature_map, config.features_weight)
    cpu_s, tuned = _timed(
        lambda: [
            tune(real_BCHW[i : i + 1], inversion.point[i : i + 1], inversion.space)
            for i in range(len(real_BCHW))
        ]
    )
    image_BCHW = torch.cat([one.image_1CHW for one in tuned])
    refined_BCHW = inversion.image_NCHW[: len(real_BCHW)]
    found = {
        "images": len(real_BCHW),
        "psnr_db": float(psnr_db(real_BCHW, image_BCHW).mean()),
        "refined_psnr_db": float(psnr_db(real_BCHW, refined_BCHW).mean()),
        "ssim": float(ssim(real_BCHW.double(), image_BCHW.double()).mean()),
        "cpu_s_per_image": cpu_s / len(real_BCHW),
        "bytes_per_delta": len(tuned[0].delta.to_bytes()),
        "options": asdict(TuneConfig()),
    }
    return found, image_BCHW


@torch.no_grad()
def figures(
    model: InvertibleGan, real_BCHW: Tensor, image_BCHW: Tensor, point: Tensor, space: str
) -> dict[str, float]:
    """Means over the images. `surprise`: 1 for random codes (`ganinv.inversion.prior`)."""
    codec = model.codec
    apart_B = (codec.features(real_BCHW) - codec.features(image_BCHW)).square().mean(1)
    psnr_B = psnr_db(real_BCHW, image_BCHW)
    return {
        "psnr_db": float(psnr_B.mean()),
        "least_psnr_db": float(psnr_B.min()),
        "ssim": float(ssim(real_BCHW.double(), image_BCHW.double()).mean()),
        "feature_distance_own": float(apart_B.mean()),
        "surprise": float(Prior.of(codec, codec.spaces[space]).surprise(point).mean()),
    }


def _lowest(error_NT: Tensor) -> Tensor:
    return error_NT.nan_to_num(float("inf")).amin(1)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of a function, and what it returns."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


if __name__ == "__main__":
    main()
