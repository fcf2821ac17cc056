"""Trainings of equal processor time on images of 32 pixels, and what is measured on them.

How many images fit into the time was settled before the runs: one core took 4.7 ms an image for
`conv`, and 7.2 ms for `r3gan` (medians of six interleaved rounds of 12 steps); augmentation takes
1.37 times as long. So every run of a kind sees the same images whatever else the machine does, and
its schedules end with it.
Networks, rates and penalties are those of the recipes avatars32-pvdgan and avatars32-r3gan-dls.
The recipe demo-pvdgan has larger batches, which take 3.3 ms an image.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from benchmarks.claims.claim import Row
from benchmarks.claims.models import judged
from benchmarks.small_training import Training, run
from benchmarks.systems.photographs import RESOLUTION
from ganinv.metrics.frechet import frechet_distance, moments
from ganinv.metrics.psnr import psnr_db
from ganinv.pictures import to_bytes, to_signed
from ganinv.schedules import Schedule
from ganinv.training.session import Session
from launch.evaluation.feature_networks import FeatureNetworks
from launch.options.schema import FigureOptions

SECONDS = 180  # of one core, for each run
IMAGES: Mapping[str, int] = {"conv": 38_400, "r3gan": 24_800}  # in that time, whole looks
AUGMENTED = 28_000  # of `conv`
DEMO = 54_400  # of `conv` in batches of 16
LOOKS = 4  # at a run, at equal distances
BATCH = 8
HELD_OUT = 1_024
PRIOR_SEED = 7
NETWORKS: Mapping[str, dict[str, Any]] = {
    "conv": {"latent_size": 64, "width": 16, "max_width": 128},
    "r3gan": {
        "latent_size": 64, "width": 16, "max_width": 128, "blocks": 1, "basis_bias": True,
    },
}  # fmt: skip
LOSSES: Mapping[str, dict[str, Any]] = {
    "conv": {},
    "r3gan": {"adversarial": "relativistic", "lambda_r1": 0.5, "lambda_r2": 0.5},
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run of PVDGAN. `options`: of its loss, where they differ from the recipe's."""

    family: str
    images: str = "avatars32"
    options: Mapping[str, Any] = field(default_factory=dict)
    most: int | None = None  # training images
    end: int | None = None  # images of the training; None: those of the family
    train: Mapping[str, Any] = field(default_factory=dict)  # where it differs from the family's

    def __call__(self, seed: int) -> Sequence[Row]:
        end = self.end or IMAGES[self.family]
        data, judge = judged(self.images)
        features = _lite0() if self.images == "avatars32" else judge.features
        held_out = to_signed(data.test_BCHW[:HELD_OUT])
        began, rows = time.process_time(), []
        for session in run(self._training(end), data.train_BCHW[: self.most], seed):
            seen = session.images_seen
            if seen % (end // LOOKS) == 0:
                took = time.process_time() - began
                rows.append({"images": seen, "cpu_s": took} | measure(session, held_out))
                began = time.process_time() - took  # looking is not training
            if seen == end:
                break
        return [*rows[:-1], rows[-1] | {"fd": distance(session, held_out, features)}]

    def _training(self, end: int) -> Training:
        return Training(
            method="pvdgan",
            options={**LOSSES[self.family], **self.options},
            network=NETWORKS[self.family],
            family=self.family,
            resolution=RESOLUTION,
            train={
                "global_batch": BATCH,
                "weight_average": 0.998,
                **rates(self.family, end),
                **self.train,
            },
        )


def rates(family: str, end: int) -> Mapping[str, Any]:
    """Learning rate and β₂ of a training of `end` images."""
    if family == "conv":
        return {"learning_rate": 0.006}
    return {
        "learning_rate": Schedule(kind="cosine", start=0.002, end=0.0005, until=end),
        "beta2": Schedule(kind="cosine", start=0.9, end=0.99, until=end),
    }


@cache
def _lite0() -> Callable[[Tensor], Tensor]:
    (network,) = FeatureNetworks(FigureOptions(features=["lite0"]), torch.device("cpu")).fixed
    return lambda image_BCHW: torch.cat(
        [network.extract(to_bytes(part)) for part in image_BCHW.split(64)]
    )


@torch.no_grad()
def measure(session: Session, real_BCHW: Tensor) -> Row:
    """By the averaged weights, on held-out images and on as many generated ones."""
    model = session.model()
    code = model.prior(range(len(real_BCHW)), PRIOR_SEED)
    latent, tensors = model.codec.latent, model.codec.tensors
    read = model.encode(model.decode(code).clamp(-1, 1))
    return {
        "psnr": float(psnr_db(model.reconstruct(real_BCHW), real_BCHW).mean()),
        "enc": float(latent.error(code, read, tensors).mean()),
        **session.objective.figures(session.state),
    }


@torch.no_grad()
def distance(session: Session, real_BCHW: Tensor, features: Callable[[Tensor], Tensor]) -> float:
    """The Fréchet distance of generated images from held-out ones."""
    made_BCHW = session.model().sample(len(real_BCHW), PRIOR_SEED)
    real, made = (moments(features(images)) for images in (real_BCHW, made_BCHW))
    return frechet_distance(real, made)
