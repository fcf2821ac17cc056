"""What a method needs beside the rules of the networks. A method without an entry needs nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ganinv import objectives
from launch.suggesting import published
from launch.suggesting.task import Advice, Task

SMALLER = 30_000  # images, below which stylegan3's guidelines leave augmentation on


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """Options in place of those of the networks: `on_gpus`, `on_cpu`. In schedules, `every` and
    `begin` are shares of the run.

    `latent`: the size of the code on GPUs; `fits`: the nearest possible size; `before`: name and
    method of the stage before; `stage`: the name of this one; `share`: of the images, in it.
    """

    source: str = ""
    latent: int | None = None
    fits: Callable[[int], int] = int
    on_gpus: Mapping[str, Any] = field(default_factory=dict)
    on_cpu: Mapping[str, Any] = field(default_factory=dict)
    before: tuple[str, str] | None = None
    stage: str = ""
    share: float = 1.0


def angles(size: int) -> int:
    """The largest 2^k − 1 up to `size`: angles of a whole tree."""
    return (1 << ((size + 1).bit_length() - 1)) - 1


_FALLING = {"kind": "exponential", "start": 0.0001, "factor": 0.8, "every": 0.25}
_ENCODER = {
    "train.learning_rate": _FALLING,
    "train.networks": {"e": {"learning_rate": {**_FALLING, "start": 0.003}}},
    "train.beta1": 0.9,
    "train.beta2": 0.99,
}
_RISING = {
    "objective.lambda_emb": {
        "kind": "step", "start": 1.0, "factor": 10.0, "every": 0.5, "end": 10.0
    }
}  # fmt: skip

# On processors the rate of the family was tried with PVDGAN alone.
_SLOW = {"train.learning_rate": 0.006}

METHODS: Mapping[str, Method] = {
    "dedgan": Method(
        source="recipes celeba128-dedgan and avatars32-dedgan",
        fits=angles,
        on_gpus=_RISING,
        on_cpu={**_RISING, **_SLOW},
    ),
    "ali": Method(
        source="ALI, arXiv 1606.00704, appendix A",
        latent=256,
        on_gpus={"train.learning_rate": 0.0001, "train.beta1": 0.5, "train.beta2": 0.999},
        on_cpu=_SLOW,
    ),
    "vaegan": Method(
        source="recipes celeba64-vaegan and avatars32-vaegan",
        latent=128,
        on_gpus={
            "objective.gamma": 0.016,
            "objective.decoder_weights": "code",
            "objective.discriminate_reconstructions": False,
            "objective.lambda_prior": 0.05,
            "train.learning_rate": 0.0003,
            "train.beta2": 0.9,
        },
        on_cpu={"objective.gamma": 10.0, "objective.lambda_prior": 0.05, **_SLOW},
    ),
    "lia": Method(
        source="LIA, arXiv 1906.08090, and the authors' code",
        on_gpus=_ENCODER,
        on_cpu=_ENCODER,
        before=("generator", "lia_generator"),
        stage="encoder",
        share=0.48,  # 12 of the generator's 25 million images
    ),
}


def method_of(name: str) -> Method:
    return METHODS.get(name, Method())


def trace(task: Task) -> list[Advice]:
    """How far the variance traces reach back, for methods that have them."""
    if task.on_cpu:
        return []  # the method's default
    why = "images: the papers' 0.999 a step at their batch of 16"
    return [Advice("objective.trace.half_life", 11_000, why, "PVDGAN, §3")]


def adaptive(task: Task) -> list[Advice]:
    """Augmentation, as often as D begins to know the images by heart."""
    few = f"{task.images:,} images: fewer than {SMALLER:,}"
    return [
        Advice("objective.augment.kind", "adaptive", few, published.ADA),
        Advice("objective.augment.p", 0.0, "before the first step", published.ADA),
    ]


def by_method(task: Task, latent_size: int) -> list[Advice]:
    """Options that replace those of the family. `latent_size`: what the family gives."""
    method = method_of(task.method)
    own = method.on_cpu if task.on_cpu else method.on_gpus
    found = [Advice(key, value, "of this method", method.source) for key, value in own.items()]
    options = {option.name for option in fields(objectives.find(task.method).Config)}
    if "trace" in options:
        found += trace(task)
    if "augment" in options and task.images < SMALLER:
        found += adaptive(task)
    wanted = latent_size if task.on_cpu else method.latent or latent_size
    if (size := method.fits(wanted)) != latent_size:
        found.append(Advice("network.latent_size", size, "of this method", method.source))
    return found
