"""Rules by the networks' family. A family without an entry in `FAMILIES` gets the usual rules."""

from collections.abc import Callable, Mapping

from launch.suggesting import published
from launch.suggesting.r3gan import r3gan
from launch.suggesting.task import SMALL, Advice, Task, value_of

# Rates of the recipes demo-pvdgan and avatars32-wide-pvdgan; `begin` is a share of the run.
NARROW = {"kind": "cosine", "start": 0.02, "end": 0.0005}
WIDE = {"kind": "cosine", "start": 0.015, "end": 0.0005, "begin": 3 / 32}


def usual(task: Task) -> list[Advice]:
    """StyleGAN2-ADA's automatic choice, for networks with equalised learning rates."""
    return on_cpu(task) if task.on_cpu else on_gpus(task)


def on_gpus(task: Task) -> list[Advice]:
    batch = divisible(published.ada_batch(task.side, task.count), task.count)
    gamma = published.ada_gamma(task.size.pixels, batch)
    fixed = f"{task.side} pixels"
    return [
        Advice(
            "train.global_batch", batch,
            f"min({task.count} GPUs × min(4096 / {task.side}, 32), 64)", published.ADA,
        ),
        Advice(
            "objective.lambda_r1", rounded(gamma / 2),
            f"λ = γ / 2, γ = 0.0002 · {area(task)} / {batch} = {gamma:.4g}", published.ADA,
        ),
        Advice("train.learning_rate", published.ada_rate(task.side), fixed, published.ADA),
        Advice("train.beta1", 0.0, "of Adam, with R1", published.ADA),
        Advice("train.beta2", 0.99, "of Adam", published.ADA),
        Advice("network.width", published.ada_width(task.side), fixed, published.ADA),
        Advice("network.max_width", 512, "at coarse resolutions", published.ADA),
        Advice(
            "train.weight_average_half_life", published.ada_half_life(batch),
            f"images: 10,000 · {batch} / 32", published.ADA,
        ),
        Advice("train.weight_average_ramp", 0.05, "of the images seen, at most", published.ADA),
    ]  # fmt: skip


def on_cpu(task: Task) -> list[Advice]:
    """The recipes that were trained on two cores here, both at 32 pixels; the wider for more."""
    small = task.side <= SMALL
    source = "recipe demo-pvdgan" if small else "recipe avatars32-wide-pvdgan"
    batch = 16
    gamma = published.ada_gamma(task.size.pixels, batch)
    return [
        Advice("train.global_batch", batch, "small, for many steps", source),
        Advice(
            "objective.lambda_r1", 5.0,
            "λ = γ / 2, γ = 10: what these networks were trained with; StyleGAN2-ADA's rule for "
            f"larger ones gives γ = {gamma:.3g}", source,
        ),
        Advice("train.learning_rate", NARROW if small else WIDE, "for narrow networks", source),
        Advice("network.width", 16 if small else 32, "for two cores", source),
        Advice("network.max_width", 128 if small else 256, "at coarse resolutions", source),
        Advice("network.latent_size", 64, "for two cores", source),
        Advice("train.weight_average", 0.998 if small else 0.999, "per step", source),
    ]  # fmt: skip


def lia(task: Task) -> list[Advice]:
    """On processors, the parts that other families lack are narrow as well."""
    if not task.on_cpu:
        return on_gpus(task)
    narrow = {
        "network.coupling_width": 64,
        "network.encoder_width": 16,
        "network.encoder_max_width": 128,
        "train.global_batch": 8,
        "train.learning_rate": 0.003,
    }
    own = [
        Advice(key, value, "for two cores", "recipe avatars32-lia") for key, value in narrow.items()
    ]
    return [*(row for row in on_cpu(task) if row.key not in narrow), *own]


def divisible(batch: int, gpus: int) -> int:
    """The largest even batch up to `batch` in equal shares, or the smallest one if there is none.

    Even: methods that reconstruct half of a batch halve it.
    """
    step = gpus * (1 + gpus % 2)
    return max(batch // step * step, step)


def area(task: Task) -> str:
    width, height = task.size
    return f"{width}²" if width == height else f"{width} × {height}"


def rounded(value: float) -> float:
    """To four digits."""
    return float(f"{value:.4g}")


FAMILIES: Mapping[str, Callable[[Task], list[Advice]]] = {"lia": lia, "r3gan": r3gan}


def by_family(task: Task) -> list[Advice]:
    advice = FAMILIES.get(task.family, usual)(task)
    batch = value_of(advice, "train.global_batch")
    workers = max(n for n in range(1, task.count + 1) if batch % n == 0)
    return [
        *advice,
        Advice("cluster.workers", workers, f"in equal shares of {batch} images", "this machine"),
    ]
