"""The profile of training steps, for people."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ganinv.profiling.profile import Profile, Row
from ganinv.training.config import BatchLayout
from launch.options.schema import RunConfig


def show(profile: Profile, config: RunConfig, layout: BatchLayout, out: Console) -> None:
    """In the tables, time is per step, and GFLOP are those of an image."""
    threads = "1 thread" if profile.threads == 1 else f"{profile.threads} threads"
    where = profile.device if profile.memory.on_gpu is not None else f"CPU, {threads}"
    part = "" if layout.world == 1 else f" (one of {layout.world} workers' share)"
    step, limit_s = profile.step, profile.limit_s
    second = "CPU-second" if profile.processor_time else "second"
    lines = (
        f"{config.objective.name}, {config.network.name} at {config.data.resolution} px, "
        f"{profile.images} images a step{part}, {config.train.precision}, {where}",
        f"{profile.images_per_s:.4g} images per {second}: {step.median * 1e3:.4g} ms a step "
        f"({step.least * 1e3:.4g} to {step.most * 1e3:.4g})",
        f"limit {profile.images / limit_s:.4g}: {limit_s * 1e3:.4g} ms, if every convolution and "
        "matrix product ran as fast as by itself, and nothing else cost time",
        f"reached: {profile.share_of_limit:.0%} of the limit; "
        f"{profile.share_of_other_work:.0%} of the time is neither convolution nor matrix product",
    )
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
    out.print(_costs("part of the step", profile.parts, profile))
    kinds = sorted(profile.kinds, key=lambda row: -row.seconds)
    out.print(_costs("kind of operation", kinds, profile))
    out.print(_rates(profile))
    for line in _totals(profile):
        out.print(line, markup=False, soft_wrap=True)


def _costs(title: str, rows: Sequence[Row], profile: Profile) -> Table:
    table = _table(title, "ms", "share", "GFLOP", "GFLOP/s")
    for row in rows:
        computed = (f"{row.flop / profile.images / 1e9:.3g}", f"{row.flop / row.seconds / 1e9:.3g}")
        table.add_row(
            row.name,
            f"{row.seconds * 1e3:.3g}",
            f"{row.seconds / profile.step.median:.1%}",
            *(computed if row.flop else ()),
        )
    return table


def _rates(profile: Profile) -> Table:
    table = _table("by itself", "precision", "calls", "ms", "GFLOP", "GFLOP/s", "best")
    for rate in profile.rates:
        table.add_row(
            rate.kind,
            rate.precision,
            str(rate.calls),
            f"{rate.seconds * 1e3:.3g}",
            f"{rate.flop / profile.images / 1e9:.3g}",
            f"{rate.flop_per_s / 1e9:.3g}",
            f"{rate.best_flop_per_s / 1e9:.3g}",
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None)
    table.add_column(title, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _totals(profile: Profile) -> list[str]:
    forward = ", ".join(f"{n} {flop / 1e9:.3g}" for n, flop in profile.forward_flop.items())
    memory = profile.memory
    lines = [
        "GFLOP are of one image, without filters. A step: "
        f"{profile.flop / profile.images / 1e9:.4g}; forward: {forward}",
        f"memory: {memory.kept / 1e6:.4g} MB of weights, averages and optimizer states; "
        f"{memory.peak / 1e6:.4g} MB of other tensors at the peak, "
        f"{memory.peak / profile.images / 1e6:.3g} MB an image, in '{memory.peak_part}'",
    ]
    if memory.on_gpu is not None:
        lines.append(f"GPU memory: {memory.on_gpu / 1e6:.4g} MB at the peak")
    return lines
