"""Shared by benchmarks: where results are written, and how measurements are summarised."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parents[1] / "docs" / "results"


def machine() -> dict[str, Any]:
    """The machine of the measurements."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, minimum and maximum of repeated measurements, which are not Gaussian."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def write_json(name: str, found: dict[str, Any]) -> None:
    """Write `docs/results/NAME.json`, including the machine."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), **found}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
