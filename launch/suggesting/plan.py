"""From a task to the options of a run, or of the stages of one."""

from dataclasses import dataclass, replace
from typing import Any

from ganinv import networks, objectives
from ganinv.errors import ConfigError
from launch.options.schema import LEAST_SAMPLES
from launch.suggesting import published
from launch.suggesting.families import by_family
from launch.suggesting.methods import SMALLER, by_method, method_of
from launch.suggesting.task import Advice, Goal, Task, value_of

# Images to see. On processors, what fits ten minutes to hours at 32 and 64 pixels.
ON_GPUS: dict[Goal, tuple[int, str, str]] = {
    "quick": (1_000_000, "whether it trains at all", "chosen here: a fifth of the next"),
    "good": (5_000_000, "results look reasonable from here on", published.STYLEGAN3),
    "best": (25_000_000, "long enough to converge in typical cases", published.STYLEGAN3),
}
ON_CPU: dict[Goal, tuple[int, str, str]] = {
    "quick": (112_000, "as in the demo", "recipe demo-pvdgan"),
    "good": (256_000, "as the model of the studio", "recipe avatars32-wide-pvdgan"),
    "best": (1_000_000, "not tried here", "chosen here"),
}
FEW = 5_000  # images; StyleGAN2-ADA calls up to some thousands limited data
SMALLEST_FOR_TWO_BLOCKS = 16  # pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """`common` options of all stages, those of each stage by its name, and remarks for people.

    A run without stages has one, without a name.
    """

    task: Task
    common: list[Advice]
    stages: dict[str, list[Advice]]
    notes: list[str]

    def options(self, stage: str) -> list[Advice]:
        """All options of a stage; a later one replaces an earlier one of the same key."""
        return list({row.key: row for row in (*self.common, *self.stages[stage])}.values())


def check_family(task: Task) -> None:
    """Raises `ConfigError` if the networks were made for other methods."""
    made_for = [
        name
        for name in objectives.names()
        if getattr(objectives.find(name), "FAMILY", None) == task.family
    ]
    if made_for and task.method not in made_for:
        raise ConfigError(
            f"suggest.family = {task.family!r}: its networks are for {', '.join(made_for)}, not "
            f"for {task.method}; choose another family or method"
        )


def plan(task: Task) -> Plan:
    """Raises `ConfigError` if the networks do not suit the method."""
    check_family(task)
    method = method_of(task.method)
    family = by_family(task)
    common = [
        Advice("network.name", task.family, "chosen", "suggest.family"),
        *family,
        *_blocks(task),
        *_held_out(task),
        *_machine(task),
        Advice("train.flip", True, "mirrors half of the images", published.STYLEGAN3),
    ]
    stages = {}
    for name, of_stage in (*filter(None, [method.before]), (method.stage, task.method)):
        stages[name] = _stage(replace(task, method=of_stage), common)
    return Plan(task=task, common=common, stages=stages, notes=notes(task))


def _stage(task: Task, common: list[Advice]) -> list[Advice]:
    """The options of one method, schedules completed; those of `common` if they need its length."""
    usual = Advice("train.images", *(ON_CPU if task.on_cpu else ON_GPUS)[task.goal])
    length = {row.key: row for row in common}.get(usual.key, usual)
    images = round(length.value * method_of(task.method).share)
    default = networks.find(task.family).Config().latent_size
    latent_size = {row.key: row.value for row in common}.get("network.latent_size", default)
    batch = value_of(common, "train.global_batch")
    every = max(batch, images // 25)
    found = [
        Advice("objective.name", task.method, "chosen", "suggest.method"),
        length._replace(value=images),
        Advice("train.log_every", max(batch, every // 10), "about 250 rows", "chosen here"),
        Advice("train.checkpoint_every", every, "25 checkpoints", "chosen here"),
        Advice("evaluate.every", every, "with every checkpoint", "chosen here"),
        *(row for row in common if isinstance(row.value, dict)),
        *by_method(task, latent_size),
    ]
    return [row._replace(value=_over(row.value, images)) for row in found]


def _over(value: Any, images: int) -> Any:
    """A schedule over a run of `images`: a cosine ends with it, shares of it become images."""
    if not isinstance(value, dict):
        return value
    completed = {key: _over(inner, images) for key, inner in value.items()}
    if completed.get("kind") == "cosine":
        completed["until"] = images
    for key in ("begin", "every"):
        if key in completed:
            completed[key] = round(completed[key] * images)
    return completed


def _blocks(task: Task) -> list[Advice]:
    if task.side >= SMALLEST_FOR_TWO_BLOCKS:
        return []
    return [Advice("network.feature_block", -1, "D has one block at this size", "chosen here")]


def _held_out(task: Task) -> list[Advice]:
    most = 512 if task.on_cpu else 10_000
    count = min(max(task.test_images, LEAST_SAMPLES), most)
    return [
        Advice("evaluate.test_images", count, "held-out images, at most", "chosen here"),
        Advice("evaluate.generated_images", count, "as many", "chosen here"),
    ]


def _machine(task: Task) -> list[Advice]:
    if task.on_cpu:
        return []
    source = "docs/performance.md"
    return [
        Advice("cluster.use_gpu", True, f"{task.count} × {task.device}", "suggest.gpu"),
        Advice("train.precision", "bf16", "the arithmetic units of this GPU", source),
        Advice("engine.name", "flat", "one reduction a network", source),
        Advice("engine.zero_stage", 0, "what this engine needs", source),
    ]


def notes(task: Task) -> list[str]:
    """What no option says."""
    found = [
        "γ is the option to try first: also train with "
        + ", ".join(f"{factor:g}" for factor in published.TO_TRY if factor != 1)
        + f" times objective.lambda_r1 ({published.STYLEGAN3}). More is stabler, less more diverse."
    ]
    if not task.on_cpu and (usual := objectives.find(task.method).Config().lambda_r1):
        found.append(
            f"The method's own default is objective.lambda_r1={usual:g}, γ = {2 * usual:g}, at any "
            "size of images."
        )
    if task.on_cpu:
        found.append(
            "Of the recipes that are named as sources, demo-pvdgan, avatars32-wide-pvdgan and "
            "avatars32-lia were trained here, on two cores and at 32 pixels; others hardly."
        )
    if task.images < SMALLER:
        amount = "Very few" if task.images <= FEW else "Few"
        found.append(
            f"{amount} images ({task.images:,}): without augmentation D learns them by heart, and "
            "figures get worse after a while (StyleGAN2-ADA, arXiv 2006.06676). Keep the "
            "checkpoint with the best figures; objective.augment says what D sees, in methods that "
            "have it."
        )
    found.append(
        "train.flip=false for images whose left and right differ, such as text "
        f"({published.STYLEGAN3})."
    )
    if task.test_images < LEAST_SAMPLES:
        found.append(
            f"{task.test_images} held-out images: figures need {LEAST_SAMPLES}; reserve some, for "
            "example with ganinv data index data.test_images=500."
        )
    return found
