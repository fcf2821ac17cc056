"""What a device can do at best: the rates of its data sheet, and of a large matrix product here."""

import platform
from typing import Any

import torch

from ganinv.precision import use_kernels_of
from ganinv.profiling.clock import Clock

# TFLOP/s of dense matrix products, from NVIDIA's data sheets (SXM versions, without sparsity), by
# a part of the device's name. The first that fits counts.
SHEET: dict[str, dict[str, float]] = {
    "H200": {"bf16": 989, "tf32": 494, "fp32": 67},
    "H100": {"bf16": 989, "tf32": 494, "fp32": 67},
    "A100": {"bf16": 312, "tf32": 156, "fp32": 19.5},
    "L40S": {"bf16": 362, "tf32": 183, "fp32": 91.6},
    "L4": {"bf16": 121, "tf32": 60, "fp32": 30.3},
}
SIZE = {False: 8192, True: 256}  # short → rows and columns of the matrices
PRECISIONS = {"bf16": torch.bfloat16, "tf32": torch.float32, "fp32": torch.float32}
REPEATS = 5


def machine_of(device: str) -> dict[str, Any]:
    if device == "cpu":
        return {"device": f"processor ({platform.machine()})", "gpus": 0}
    return {
        "device": torch.cuda.get_device_name(0),
        "gpus": torch.cuda.device_count(),
        "memory_bytes": torch.cuda.get_device_properties(0).total_memory,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def measured_peaks(device: str, *, short: bool) -> dict[str, dict[str, float | None]]:
    """FLOP/s by precision: `measured` here, and `sheet`, if the data sheet is known."""
    name = machine_of(device)["device"]
    sheet = next((rates for part, rates in SHEET.items() if part in name), {})
    found: dict[str, dict[str, float | None]] = {}
    for precision, dtype in PRECISIONS.items():
        if device == "cpu" and precision == "tf32":
            continue
        where = torch.device(device)
        use_kernels_of(precision, where)  # type: ignore[arg-type]  # a key of PRECISIONS
        size = SIZE[short]
        left, right = (torch.randn(size, size, device=where, dtype=dtype) for _ in range(2))
        seconds = Clock(where).best(lambda a=left, b=right: a @ b, REPEATS)  # type: ignore[misc]
        given = sheet.get(precision)
        found[precision] = {
            "measured": 2 * size**3 / seconds,
            "sheet": None if given is None else given * 1e12,
        }
    return found
