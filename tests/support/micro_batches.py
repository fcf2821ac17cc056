"""Micro-batches for tests that bypass the data and call the training step directly."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv import objectives
from ganinv.augmentation.drawing import AugmentationDraws
from ganinv.augmentation.options import AugmentConfig
from ganinv.draws import Draws
from ganinv.latents.labelled import Condition
from ganinv.objectives.base import MicroBatch, Objective
from ganinv.seams.engine import LocalEngine
from ganinv.training.config import TrainConfig
from ganinv.training.session import new_optimizer
from tests.support.runs import LABELS, TRAIN, make_objective


def random_batch(
    objective: Objective, *, global_batch: int = 8, dtype: torch.dtype = torch.float64
) -> MicroBatch:
    """A whole global batch as one micro-batch, for the networks of `tests.support.runs`."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    def noise(name: str, draws: Draws) -> Tensor:
        if isinstance(draws, AugmentationDraws):  # not all of them are normal
            return draws.draw(0, name, range(global_batch)).to(dtype)
        return draw(global_batch, draws.size)

    return MicroBatch(
        images_seen=0,
        real_NCHW=draw(global_batch, 3, 16, 16).clamp(-1, 1),
        slots_N=torch.arange(global_batch),
        global_batch=global_batch,
        micro_batches=1,
        noise={name: noise(name, draws) for name, draws in objective.noise.items()},
        label_NK=labels_of(objective.condition, global_batch, dtype),
    )


def labels_of(condition: Condition, count: int, dtype: torch.dtype) -> Tensor | None:
    """The classes in turn."""
    if not condition:
        return None
    classes = len(condition.classes)
    return F.one_hot(torch.arange(count) % classes, classes).to(dtype)


def in_double(batch: MicroBatch) -> MicroBatch:
    """The same images and noise for networks in float64."""
    noise = {name: draw.double() for name, draw in batch.noise.items()}
    label_NK = None if batch.label_NK is None else batch.label_NK.double()
    return replace(batch, real_NCHW=batch.real_NCHW.double(), noise=noise, label_NK=label_NK)


def local_engines(
    objective: Objective, networks: Mapping[str, nn.Module], config: TrainConfig = TRAIN
) -> dict[str, LocalEngine]:
    """An engine of this process for each trained network, with the optimizer of its role."""
    return {
        name: LocalEngine(networks[name], new_optimizer(objective, name, networks[name], config))
        for name, role in objective.roles.items()
        if role.trained
    }


def objective_variants() -> list[dict[str, Any]]:
    """Every method with its defaults, and once with its alternatives, where it has them.

    Alternatives are the other schedule, R1 on every fourth step, the relativistic loss with R2, and
    adaptive augmentation and labels.
    """
    variants: list[dict[str, Any]] = []
    for name in objectives.names():
        variants.append({"name": name})
        config = objectives.find(name).Config()
        keys = {field.name for field in fields(config)}
        first = getattr(config, "schedule", "") == "sequential"
        other = "simultaneous" if first else "sequential"
        alternatives = {
            "schedule": other, "r1_every": 4, "adversarial": "relativistic", "lambda_r2": 2,
            "augment": AugmentConfig(kind="adaptive", p=0.5, interval=2, cutout=0.5),
            "condition": LABELS,
        }  # fmt: skip
        if chosen := {key: value for key, value in alternatives.items() if key in keys}:
            variants.append({"name": name, **chosen})
    return variants


def variants_that_take_flags() -> list[dict[str, Any]]:
    """Those whose optimizers can leave out a step by a flag on the device."""

    def takes(variant: dict[str, Any]) -> bool:
        roles = make_objective(**variant).roles.values()
        return all(role.optimizer == "adam" for role in roles if role.trained)

    return [variant for variant in objective_variants() if takes(variant)]


def label(variant: dict[str, Any]) -> str:
    """The name of a variant's test."""

    def told(value: object) -> str:
        return "labels" if value is LABELS else str(getattr(value, "kind", value))

    return "-".join(map(told, variant.values()))
