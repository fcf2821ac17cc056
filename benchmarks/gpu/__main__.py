"""What a GPU makes of the FFHQ-256 step: one command, ten minutes, docs/results/gpu.json and .md.

    python -m benchmarks.gpu                          # on a machine with NVIDIA GPUs
    python -m benchmarks.gpu --budget 300             # in five minutes; says what it leaves out
    python -m benchmarks.gpu --device cpu --short --to /tmp/gpu     # whether it runs at all

It needs no data and no storage. Most important first: throughput at 2 to 32 images a GPU, the same
bits after a resumption, CUDA graphs, all GPUs together, other precisions and engines, compilation,
and the tests that need a GPU.
"""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import page
from benchmarks.gpu.jobs import jobs
from benchmarks.gpu.peaks import machine_of, measured_peaks
from benchmarks.gpu.running import HERE, LEAST_S, Budget, run_jobs, run_tests
from benchmarks.results import RESULTS, machine

NAME = "gpu"
BUDGET_S = 540  # so that the whole command fits ten minutes
TESTS_S = 90  # kept for the tests in this process; those that train with Ray get what is left


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds")
    parser.add_argument("--short", action="store_true", help="small sizes: whether it runs at all")
    parser.add_argument("--jobs", type=int, help="only the first so many processes")
    parser.add_argument("--no-tests", action="store_true", help="leave out the tests")
    parser.add_argument("--to", type=Path, default=RESULTS, help="the folder of JSON and page")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no NVIDIA GPU on this machine; or give --device cpu --short")
    if options.device == "cpu" and options.to == RESULTS:
        parser.error("--device cpu measures no GPU; give --to FOLDER for what it writes")
    found = measure(options)
    options.to.mkdir(parents=True, exist_ok=True)
    (options.to / f"{NAME}.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.to / f"{NAME}.md").write_text(page.page(found))
    print(f"{options.to / NAME}.md")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    on_gpu = options.device == "cuda"
    budget = Budget(options.budget)
    found: dict[str, Any] = {
        "machine": {**machine(), **machine_of(options.device)},
        "commit": commit(),
        "short": options.short,
        "budget_s": options.budget,
        "peaks": measured_peaks(options.device, short=options.short),
    }
    gpus = torch.cuda.device_count() if on_gpu else 1
    kept = 0.0 if options.no_tests else min(TESTS_S, options.budget / 4)
    planned = jobs(gpus, on_gpu=on_gpu)[: options.jobs]
    found["rows"], found["left_out"] = run_jobs(
        planned, Budget(budget.left_s - kept), options.device, short=options.short
    )
    found["tests"] = []
    for whole in () if options.no_tests else (False, True):
        if budget.left_s > LEAST_S:
            found["tests"].append(run_tests(budget, whole=whole))
        else:
            found["left_out"].append("tests that train with Ray" if whole else "tests")
    return found


def commit() -> str:
    """The commit of this checkout; empty outside of one."""
    command = ["git", "-C", str(HERE), "rev-parse", "--short=12", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip()


if __name__ == "__main__":
    main()
