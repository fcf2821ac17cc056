"""How training scales over workers: measured on this machine, modelled, projected to GPUs.

Measures weak scaling (constant images per worker) and strong scaling (constant global batch) of
real steps on one to four processes. Fits `scaling_model` to one and two processes and tests the fit
on three and four. Projects the model to 8 to 1,024 GPUs; the page lists the assumptions. Measures
the cost of the control plane at 1,024 ranks.

    python -m benchmarks.scaling            # writes docs/results/scaling.md, .json and .svg
"""

import argparse
import json
import os
from dataclasses import asdict, replace
from statistics import median, quantiles

from benchmarks.scaling_control import control_plane
from benchmarks.scaling_measure import RECIPES, SHARES, StepTimes, full_size, measure
from benchmarks.scaling_model import Network, Workload, compute_s, fit_line, step_s
from benchmarks.scaling_page import Found, Judged, write_page

FITTED_SHARES = (min(SHARES), max(SHARES))
PROJECTED = {"ffhq256-pvdgan": 256}  # recipe: pixels a side


def fit_network(reductions: dict[int, dict[int, float]]) -> Network:
    """α and β from all-reduces between two processes: 2α + S/β."""
    points = [(float(size), seconds) for size, seconds in reductions[2].items()]
    intercept, slope = fit_line(points)
    return Network(latency_s=intercept / 2, bytes_per_s=1 / slope)


def fit_workload(times: list[StepTimes], network: Network, gradient_bytes: int) -> Workload:
    """c₀, c₁ and σ from one process; contention and the number of collectives from two."""
    alone = {t.share: t for t in times if t.workers == 1}
    fixed, per_image = fit_line([(share, t.median_s) for share, t in alone.items()])
    spread = median(_spread(t.seconds) for t in alone.values())
    bare = Workload(
        fixed_s=fixed, per_image_s=per_image, jitter=spread, gradient_bytes=gradient_bytes,
        collectives=0.0, cores=os.cpu_count(),
    )  # fmt: skip
    two = [t for t in times if t.workers == 2 and t.share in FITTED_SHARES]
    gradients = step_s(bare, network, 2, 1) - compute_s(bare, 2, 1)
    points = [(compute_s(bare, 2, t.share), t.median_s - gradients) for t in two]
    talk, contention = fit_line(points)
    collectives = talk / (2 * network.latency_s)
    return replace(bare, contention=contention, collectives=collectives)


def _spread(seconds: tuple[float, ...]) -> float:
    """Standard deviation over the median, from the quartiles, which outliers do not move."""
    low, middle, high = quantiles(seconds, n=4)
    return (high - low) / 1.349 / middle


def judge(times: list[StepTimes], workload: Workload, network: Network) -> list[Judged]:
    """Every measurement with the model's prediction, and whether the fit used the measurement."""
    return [
        Judged(
            recipe=t.recipe,
            workers=t.workers,
            share=t.share,
            measured_s=t.median_s,
            spread=_spread(t.seconds),
            modelled_s=step_s(workload, network, t.workers, t.share),
            held_out=t.workers > 2 or (t.workers == 2 and t.share not in FITTED_SHARES),
        )
        for t in times
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="over all numbers of processes")
    options = parser.parse_args()
    times, reductions, gradient_bytes = measure(options.rounds)
    network = fit_network(reductions)
    workloads = {
        recipe: fit_workload([t for t in times if t.recipe == recipe], network, size)
        for recipe, size in gradient_bytes.items()
    }
    judged = [
        row
        for recipe in RECIPES
        for row in judge([t for t in times if t.recipe == recipe], workloads[recipe], network)
    ]
    found = Found(
        judged=judged,
        reductions=reductions,
        network=network,
        workloads=workloads,
        full_size={recipe: full_size(recipe, pixels) for recipe, pixels in PROJECTED.items()},
        control_plane=control_plane(),
    )
    write_page(found)
    errors = [abs(row.error) for row in judged if row.held_out]
    print(json.dumps(asdict(network) | {"median_error": median(errors), "worst": max(errors)}))


if __name__ == "__main__":
    main()
