"""Parts of a global batch for tests that go around the data and call the training step itself."""

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from ganinv import objectives
from ganinv.objectives.base import Objective, Part
from tests.support.runs import NETWORK


def random_part(
    objective: Objective, *, global_batch: int = 8, dtype: torch.dtype = torch.float64
) -> Part:
    """A whole global batch as one part, for the networks of `tests.support.runs`."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    return Part(
        images_seen=0,
        real_NCHW=draw(global_batch, 3, 16, 16).clamp(-1, 1),
        slots_N=torch.arange(global_batch),
        global_batch=global_batch,
        parts=1,
        noise={name: draw(global_batch, NETWORK.latent_size) for name in objective.noise_names},
    )


def in_double(part: Part) -> Part:
    """The same images and noise for networks in float64."""
    noise = {name: draw.double() for name, draw in part.noise.items()}
    return replace(part, real_NCHW=part.real_NCHW.double(), noise=noise)


def objective_variants() -> list[dict[str, Any]]:
    """Every method there is, as it comes and, where it has the choice, with what it can do else:
    the other schedule, and R1 on every fourth step.
    """
    variants: list[dict[str, Any]] = []
    for name in objectives.names():
        variants.append({"name": name})
        keys = {field.name for field in fields(objectives.find(name).Config)}
        else_ = {"schedule": "sequential", "r1_every": 4}
        if chosen := {key: value for key, value in else_.items() if key in keys}:
            variants.append({"name": name, **chosen})
    return variants


def label(variant: dict[str, Any]) -> str:
    """The name of a variant's test."""
    return "-".join(map(str, variant.values()))
