"""Rules of R3GAN's networks and of its loss: relativistic, with R1 and R2 of the same weight."""

import math
from dataclasses import fields
from typing import Any

from ganinv import objectives
from launch.suggesting import published
from launch.suggesting.task import Advice, Task

BATCH, LARGE_BATCH = 256, 512  # FFHQ; CIFAR-10, at 32 pixels
AVERAGE, LONG_AVERAGE = 500_000, 5_000_000  # half-life at the end, in images; CIFAR-10
DECAY = 20_000_000  # images
IMAGES_A_PASS = 32  # at 256 pixels; a choice of ours for GPUs with 24 GB, not measured


def r3gan(task: Task) -> list[Advice]:
    return _on_cpu(task) if task.on_cpu else _on_gpus(task)


def penalties(task: Task, weight: Any, why: str, source: str) -> list[Advice]:
    """λ_r1 = λ_r2 = γ / 2 and the relativistic loss; R1 alone for methods that lack the loss."""
    r1 = Advice("objective.lambda_r1", weight, why, source)
    if "lambda_r2" not in {option.name for option in fields(objectives.find(task.method).Config)}:
        return [r1]
    return [
        Advice("objective.adversarial", "relativistic", "the loss of these networks", source),
        r1,
        Advice("objective.lambda_r2", weight, "as λ_r1", source),
    ]


def _on_gpus(task: Task) -> list[Advice]:
    tiny = task.side <= min(published.R3GAN_GAMMAS)
    step = task.count * (1 + task.count % 2)
    batch = -(-(LARGE_BATCH if tiny else BATCH) // step) * step
    share = batch // task.count
    limit = max(1, math.floor(IMAGES_A_PASS * 256**2 / task.size.pixels))
    gamma = published.r3gan_gamma(task.side)
    known = task.side in published.R3GAN_GAMMAS
    how = "published" if known else "between or beyond 32, 64 and 256 pixels"
    source = published.R3GAN
    length = Advice("train.images", DECAY, "where the published schedules end", source)
    return [
        *([length] if task.goal == "best" else []),
        Advice(
            "train.global_batch", batch, f"{'CIFAR-10' if tiny else 'FFHQ'}: fixed on any number "
            "of GPUs", source,
        ),
        Advice(
            "train.micro_batch",
            max(n for n in range(1, min(share, limit) + 1) if share % n == 0),
            f"of {share} images a GPU, for memory alone", "a guess for 24 GB",
        ),
        *penalties(
            task, _decay(gamma / 2, gamma / 20),
            f"λ = γ / 2, γ from {gamma:.3g} to a tenth ({how})", source,
        ),
        Advice(
            "train.learning_rate", _decay(2e-4, 5e-5),
            "cosine over the run; published: over 20 million images", source,
        ),
        *_augmentation(task, 0.55 if tiny else 0.3, source),
        Advice("train.beta1", 0.0, "of Adam", source),
        Advice("train.beta2", _decay(0.9, 0.99), "of Adam, cosine", source),
        Advice("network.max_width", 768, "of the four coarsest maps; finer ones halve", source),
        Advice(
            "train.weight_average_half_life", _decay(1, LONG_AVERAGE if tiny else AVERAGE),
            "images, cosine", source,
        ),
    ]  # fmt: skip


def _augmentation(task: Task, end: float, source: str) -> list[Advice]:
    """The published ramp of p, for methods whose D may judge augmented images."""
    if "augment" not in {option.name for option in fields(objectives.find(task.method).Config)}:
        return []
    return [
        Advice("objective.augment.kind", "fixed", "of what D judges", source),
        Advice("objective.augment.p", _decay(0.0, end), "cosine over the run", source),
        Advice("objective.augment.colour", 0.5, "of p for colours", source),
        Advice("objective.augment.cutout", 1.0, "of p for cutout", source),
    ]


def _on_cpu(task: Task) -> list[Advice]:
    source = "recipe avatars32-r3gan-dls"
    return [
        Advice("train.global_batch", 8, "small, for many steps", source),
        *penalties(task, 0.5, "λ = γ / 2, γ = 1", source),
        Advice("train.learning_rate", _decay(2e-3, 5e-4), "for narrow networks", source),
        Advice("train.beta2", _decay(0.9, 0.99), "of Adam, cosine", published.R3GAN),
        Advice("network.width", 16, "for two cores", source),
        Advice("network.max_width", 128, "for two cores", source),
        Advice("network.blocks", 1, "for two cores", source),
        Advice("network.basis_bias", True, "reconstructions are less pale", source),
        Advice("network.latent_size", 64, "for two cores", source),
        Advice("train.weight_average", 0.998, "per step", source),
    ]


def _decay(start: float, end: float) -> dict[str, Any]:
    """A cosine over the whole run; `recipe` sets `until`, when the length is known."""
    return {"kind": "cosine", "start": float(f"{start:.4g}"), "end": float(f"{end:.4g}")}
