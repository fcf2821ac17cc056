"""Writes the results of `scaling` to docs/results/: JSON, a picture, and a page with tables."""

import math
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.results import RESULTS, machine, write_json
from benchmarks.scaling_model import Network, Reliability, Workload, goodput, step_s
from launch.pages.style import SERIES
from launch.pages.svg import COLOURS, new_axes, to_svg_file

GPUS = (8, 16, 32, 64, 128, 256, 512, 1024)
BATCHES = (16, 32, 64, 128, 256, 512, 1024, 2048)

# Assumptions of the projection. Published times of StyleGAN2 at 256² on A100s (NVIDIA's stylegan3,
# docs/configs.md: 12.53 s per 1,000 images on one GPU at batch 16 per GPU; 2.38 s on eight GPUs at
# batch 8 per GPU) give the fixed cost of a step and the cost of an image.
SECONDS_AT_16 = 16 * 12.53e-3
SECONDS_AT_8 = 8 * 8 * 2.38e-3
STYLEGAN2_FLOPS = 0.40e12  # per image of a training step
GPU_PER_IMAGE_S = (SECONDS_AT_16 - SECONDS_AT_8) / 8
GPU_FIXED_S = SECONDS_AT_16 - 16 * GPU_PER_IMAGE_S
GPU_JITTER = 0.02
GPU_COLLECTIVES = 6  # a step: two finiteness checks, moments, the wish to stop, two of ZeRO's
GPU_NETWORK = Network(latency_s=20e-6, bytes_per_s=12.5e9)
GPU_RELIABILITY = Reliability(
    node_mttf_s=1000
    * 3600.0,  # 1,024 GPUs at 7.9 h (Meta RSC, arXiv 2410.21680) are 1,011 h a node
    workers_per_node=8,
    restart_s=90.0,
    checkpoint_every_s=600.0,
    checkpoint_stall_s=0.25,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One measured case with the model's prediction."""

    recipe: str
    workers: int
    share: int  # images of each worker
    measured_s: float  # median
    spread: float  # of single steps: standard deviation over median, from quartiles
    modelled_s: float
    held_out: bool  # the fit did not use this case

    @property
    def error(self) -> float:
        return self.modelled_s / self.measured_s - 1

    @property
    def batch(self) -> int:
        return self.workers * self.share

    @property
    def images_per_s(self) -> float:
        return self.batch / self.measured_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """All measurements and fits."""

    judged: list[Judged]
    reductions: dict[int, dict[int, float]]  # workers → bytes → seconds of an all-reduce
    network: Network
    workloads: dict[str, Workload]
    full_size: dict[str, tuple[float, int]]  # recipe → FLOPs per image, bytes of gradients
    control_plane: dict[str, Any]


def projected_workload(flops: float, gradient_bytes: int) -> Workload:
    return Workload(
        fixed_s=GPU_FIXED_S,
        per_image_s=GPU_PER_IMAGE_S * flops / STYLEGAN2_FLOPS,
        jitter=GPU_JITTER,
        gradient_bytes=gradient_bytes,
        collectives=GPU_COLLECTIVES,
    )


def projected(workload: Workload, gpus: int, batch: int) -> float | None:
    """Images per second that no failure undoes; None where a GPU would have no image."""
    if batch < gpus:
        return None
    speed = batch / step_s(workload, GPU_NETWORK, gpus, batch / gpus)
    return speed * goodput(GPU_RELIABILITY, gpus)


def write_page(found: Found) -> None:
    projections = {
        recipe: {
            batch: {gpus: projected(projected_workload(*size), gpus, batch) for gpus in GPUS}
            for batch in BATCHES
        }
        for recipe, size in found.full_size.items()
    }
    write_json("scaling", {**asdict(found), "projections_images_per_s": projections})
    for recipe, of_batch in projections.items():
        (RESULTS / "scaling.svg").write_text(_picture(recipe, of_batch))
        (RESULTS / "scaling.md").write_text(_page(found, recipe, of_batch))


def _picture(recipe: str, of_batch: dict[int, dict[int, float | None]]) -> str:
    figure, axes = new_axes("GPUs", 1, size_px=(560, 330), margin_px=(70, 0))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlim(GPUS[0] * 0.9, GPUS[-1] * 1.1)
    axes.xaxis.set_major_locator(FixedLocator(GPUS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    for number, (batch, of_gpus) in enumerate(list(of_batch.items())[::-1]):
        points = [(gpus, speed) for gpus, speed in of_gpus.items() if speed is not None]
        colour = COLOURS[SERIES[number % len(SERIES)]]
        axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=3)
        axes.annotate(
            f"batch {batch:,}", points[-1], xytext=(6, 0), textcoords="offset points",
            va="center", color=COLOURS["--chart-text"], fontsize=9,
        )  # fmt: skip
    alt = f"Projection: images per second of {recipe} over the number of GPUs, per global batch"
    return to_svg_file("scaling", figure, alt)


def _page(found: Found, recipe: str, of_batch: dict[int, dict[int, float | None]]) -> str:
    held_out = [abs(row.error) for row in found.judged if row.held_out]
    flops, gradient_bytes = found.full_size[recipe]
    return "\n".join(
        [
            "# How training scales",
            "",
            "Written by `python -m benchmarks.scaling`; the model and its sources stand in "
            "`benchmarks/scaling_model.py`, all numbers in `scaling.json`.",
            "",
            "## Measured",
            "",
            f"Real steps (DeepSpeed over gloo, one thread a process) on a machine with "
            f"{machine()['cores']} cores: more processes than cores share them, and cannot be "
            "faster. Median of single steps; spread is their standard deviation over the median.",
            "",
            *_measured(found.judged),
            "",
            "Strong scaling is the same table read along a global batch: "
            + _strong(found.judged)
            + ".",
            "",
            f"The model was fitted on one process, and on two at the smallest and largest share "
            f"(α = {1e6 * found.network.latency_s:.0f} µs, "
            f"β = {found.network.bytes_per_s / 1e9:.2f} GB/s). On the rows marked *held out*, "
            f"which it has not seen, it is off by {100 * median(held_out):.0f} % in the median and "
            f"{100 * max(held_out):.0f} % at worst.",
            "",
            "## Projection",
            "",
            f"**Not measured.** Images per second that still count after failures, `{recipe}`, by "
            "global batch and GPUs. A batch smaller than the number of GPUs cannot be divided. The "
            "batch is part of the science: beyond the paper's 16 it is another experiment, so read "
            "the table by rows.",
            "",
            *_projection(of_batch),
            "",
            "The same as a picture: images per second over GPUs, both on logarithmic scales.",
            "",
            "![Projected images per second over GPUs, one curve per global batch](scaling.svg)",
            "",
            "Assumptions:",
            "",
            *_assumptions(flops, gradient_bytes),
            "",
            "## Control plane at 1,024 ranks",
            "",
            "Measured here, for its work is the same on any machine:",
            "",
            *_control(found.control_plane),
            "",
        ]
    )


def _measured(judged: list[Judged]) -> list[str]:
    lines = [
        "| recipe | processes | images each | step | spread | images/s | model | error | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in judged:
        lines.append(
            f"| {row.recipe} | {row.workers} | {row.share} | {1e3 * row.measured_s:.0f} ms "
            f"| {100 * row.spread:.0f} % | {row.images_per_s:.0f} | {1e3 * row.modelled_s:.0f} ms "
            f"| {100 * row.error:+.0f} % | {'held out' if row.held_out else 'fitted'} |"
        )
    return lines


def _strong(judged: list[Judged]) -> str:
    """Speed-ups at a global batch of 16, for the numbers of workers that were measured at it."""
    clauses = []
    for recipe in dict.fromkeys(row.recipe for row in judged):
        rows = {row.workers: row for row in judged if row.recipe == recipe and row.batch == 16}
        if 1 not in rows:
            continue
        ups = ", ".join(
            f"{rows[1].measured_s / row.measured_s:.2f}× on {workers}"
            for workers, row in sorted(rows.items())
            if workers > 1
        )
        clauses.append(f"{recipe} at a batch of 16 is {ups} processes as fast as on one")
    return "; ".join(clauses)


def _projection(of_batch: dict[int, dict[int, float | None]]) -> list[str]:
    lines = ["| global batch | " + " | ".join(f"{gpus:,} GPUs" for gpus in GPUS) + " |"]
    lines.append("|---" * (len(GPUS) + 1) + "|")
    for batch, of_gpus in of_batch.items():
        cells = [f"{speed:,.0f}" if speed is not None else "–" for speed in of_gpus.values()]
        lines.append(f"| {batch:,} | " + " | ".join(cells) + " |")
    return lines


def _assumptions(flops: float, gradient_bytes: int) -> list[str]:
    system_mttf_h = GPU_RELIABILITY.node_mttf_s / 3600 / math.ceil(1024 / 8)
    return [
        f"- A step costs {1e3 * GPU_FIXED_S:.0f} ms besides its images and "
        f"{1e3 * GPU_PER_IMAGE_S:.1f} ms an image for StyleGAN2 at 256² on an A100, from NVIDIA's "
        "published times (stylegan3, docs/configs.md); an image of this recipe takes "
        f"{flops / STYLEGAN2_FLOPS:.2f} times that, by its FLOPs ({flops / 1e12:.2f} TFLOP, "
        "counted here).",
        f"- {gradient_bytes / 1e6:.0f} MB of gradients a step, not overlapped with anything; "
        f"{GPU_COLLECTIVES} small collectives; α = {1e6 * GPU_NETWORK.latency_s:.0f} µs, "
        f"β = {GPU_NETWORK.bytes_per_s / 1e9:.1f} GB/s a GPU; steps spread by "
        f"{100 * GPU_JITTER:.0f} %.",
        f"- A node of eight fails every {GPU_RELIABILITY.node_mttf_s / 3600:,.0f} h (Meta's RSC: "
        f"7.9 h for 1,024 GPUs, arXiv 2410.21680; here {system_mttf_h:.1f} h), a restart takes "
        f"{GPU_RELIABILITY.restart_s:.0f} s, a checkpoint every "
        f"{GPU_RELIABILITY.checkpoint_every_s / 60:.0f} min stalls training for "
        f"{GPU_RELIABILITY.checkpoint_stall_s:.2f} s: goodput "
        f"{100 * goodput(GPU_RELIABILITY, 8):.1f} % on 8 GPUs, "
        f"{100 * goodput(GPU_RELIABILITY, 1024):.1f} % on 1,024.",
        "- Storage keeps up; nothing else runs on the nodes.",
    ]


def _control(control: dict[str, Any]) -> list[str]:
    plan, manifest = control["plan"], control["manifest"]
    discovery, metrics = control["discovery"], control["metrics"]
    return [
        f"- plan of a rank over {plan['samples']:,} samples in {plan['shards']:,} shards, from "
        f"nothing to a sample in mid-epoch: {plan['seconds']:.2f} s, "
        f"{plan['bytes'] / 1e6:.0f} MB",
        f"- manifest of a checkpoint of 1,024 parts: {manifest['bytes'] / 1e3:.0f} kB, written in "
        f"{1e3 * manifest['write_seconds']:.1f} ms, read in "
        f"{1e3 * manifest['read_seconds']:.1f} ms",
        f"- targets for Prometheus: {discovery['bytes'] / 1e3:.0f} kB in "
        f"{1e3 * discovery['seconds']:.1f} ms",
        f"- metrics: {metrics['series_of_a_rank']} series a rank, "
        f"{metrics['series_of_all_ranks']:,} in all; a scrape of one is "
        f"{metrics['bytes_of_a_scrape'] / 1e3:.1f} kB in "
        f"{1e3 * metrics['seconds_of_a_scrape']:.2f} ms",
    ]
