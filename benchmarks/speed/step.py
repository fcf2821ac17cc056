"""Part 1: images per CPU-second of a training step, at 607fd10 and here, by turns."""

import statistics
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.results import spread
from benchmarks.speed.processes import HERE, Training
from benchmarks.speed.processor import without_bf16

BEFORE = "607fd10"
WIDTHS = {"latent_size": 256, "width": 32, "max_width": 128, "feature_block": -1}
CONV: dict[str, Any] = {
    "family": "conv",
    "network": {**WIDTHS, "stem_width": 512},
    "resolution": 64,
    "batch": 16,
}
CASES: dict[str, dict[str, Any]] = {
    "conv": CONV,
    "stylegan2": {**CONV, "family": "stylegan2", "network": WIDTHS},
    "reduced_stylegan2": {**CONV, "family": "reduced_stylegan2", "network": WIDTHS},
}
ROUNDS = 2  # of fresh processes
WINDOWS = {"conv": 5}  # of each process, in turn with the others
OTHER_WINDOWS = 3
STEPS = 2  # in a window


def measure(against: Path, *, short: bool) -> dict[str, Any]:
    """Every family: windows of both checkouts in turn. `short`: tiny networks, few windows."""
    return {
        name: _family(_tiny(case) if short else case, against, name, short=short)
        for name, case in CASES.items()
    }


def _tiny(case: Mapping[str, Any]) -> dict[str, Any]:
    network = {**case["network"], "latent_size": 8, "width": 4, "max_width": 8}
    network.pop("stem_width", None)
    return {**case, "network": network, "resolution": 16, "batch": 4}


def _family(case: Mapping[str, Any], against: Path, name: str, *, short: bool) -> dict[str, Any]:
    sides = {BEFORE: (against, "fp32"), "fp32": (HERE, "fp32")}
    missing = without_bf16()
    if missing is None:
        sides["bf16"] = (HERE, "bf16")
    rows: list[dict[str, float]] = []
    for _ in range(1 if short else ROUNDS):
        with ExitStack() as running:
            processes = {
                side: running.enter_context(Training(place, {**case, "precision": precision}))
                for side, (place, precision) in sides.items()
            }
            for _ in range(2 if short else WINDOWS.get(name, OTHER_WINDOWS)):
                rows.append({side: _rate(process) for side, process in processes.items()})
    found = {"case": dict(case), "turns": rows, **_summary(rows)}
    if missing is not None:
        found["bf16_left_out"] = missing
    return found


def _rate(process: Training) -> float:
    window = process.take(STEPS)
    return window["images"] / window["cpu_s"]


def _summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Rates, and ratios to 607fd10 in the same turn."""
    rates, ratios = defaultdict(list), defaultdict(list)
    for row in rows:
        for side, rate in row.items():
            rates[side].append(rate)
            if side != BEFORE:
                ratios[side].append(rate / row[BEFORE])
    return {
        "images_per_cpu_s": {side: spread(values) for side, values in rates.items()},
        "ratio": {side: spread(values) for side, values in ratios.items()},
        "noise": statistics.pstdev(rates[BEFORE]) / statistics.mean(rates[BEFORE]),
    }
