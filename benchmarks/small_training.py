"""Trainings on images in memory, in one process, for benchmarks of methods."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ganinv import networks, objectives
from ganinv.latent_scale import TraceConfig
from ganinv.metrics.psnr import psnr_db
from ganinv.objectives.base import Objective, networks_asked
from ganinv.pictures import to_signed
from ganinv.seams.batches import Batch, Position
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.session import Session, new_session, train_batch


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained; a run adds a seed and images."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)  # of the method
    trace: Mapping[str, Any] = field(default_factory=dict)  # options of its variance traces
    network: Mapping[str, Any]  # options of the family
    resolution: int
    train: Mapping[str, Any]  # options of the training; `global_batch` at least
    family: str = "conv"


def run(
    training: Training,
    images_BCHW: Tensor,
    seed: int,
    given: Mapping[str, nn.Module] = MappingProxyType({}),
) -> Iterator[Session]:
    """The session after each step, without end; the seed decides the order of the uint8 images.

    `given`: networks to start from, instead of new ones.
    """
    config = TrainConfig(images=10**12, seed=seed, **training.train)
    session = _session(training, config, seed, given)
    layout = lay_out_batch(config, 1)
    for batch in _batches(images_BCHW, seed, config.global_batch):
        train_batch(session, batch, config, layout, no_reduction)
        yield session


def _session(
    training: Training, config: TrainConfig, seed: int, given: Mapping[str, nn.Module]
) -> Session:
    method, family = objectives.find(training.method), networks.find(training.family)
    options = dict(training.options)
    if training.trace:
        options["trace"] = TraceConfig(**training.trace)
    network = family.Config(**training.network)
    objective: Objective = method.Objective(method.Config(**options), network.latent_size)
    built = family.build(
        network, resolution=training.resolution, image_channels=3, seed=seed,
        **networks_asked(objective),
    )  # fmt: skip
    return new_session(
        objective, built | given, LocalEngine, config=config, device=torch.device("cpu")
    )


def _batches(images_BCHW: Tensor, seed: int, size: int) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(seed)
    seen = 0
    while True:
        order = torch.randperm(len(images_BCHW), generator=generator)
        for chosen in order[: len(order) // size * size].split(size):
            seen += size
            yield Batch(
                images_BCHW=images_BCHW[chosen],
                slots=tuple(range(size)),
                keys=("",) * size,
                after=Position(epoch=0, images=seen),
            )


@torch.no_grad()
def held_out_psnr(session: Session, images_BCHW: Tensor) -> float:
    """Mean PSNR of reconstructions of uint8 images by the averaged weights, in dB."""
    model = session.model()
    real = to_signed(images_BCHW)
    return float(psnr_db(model.decode(model.encode(real)).clamp(-1, 1), real).mean())


def as_batch(images: list[NDArray[np.uint8]] | NDArray[np.uint8]) -> Tensor:
    """H × W × C images as one uint8 tensor B × C × H × W."""
    return torch.from_numpy(np.stack(list(images))).permute(0, 3, 1, 2).contiguous()
