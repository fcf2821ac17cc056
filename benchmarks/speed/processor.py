"""The processor of the measurements."""

from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
UNITS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")  # that matter to convolutions
BF16_UNITS = ("avx512_bf16", "amx_bf16")


def processor() -> dict[str, Any]:
    """Its model, and which of `UNITS` it has, as Linux names them (`lscpu`)."""
    values: dict[str, str] = {}
    for line in CPUINFO.read_text().splitlines():
        key, _, value = line.partition(":")
        values.setdefault(key.strip(), value.strip())
    flags = values.get("flags", "").split()
    model = values.get("model name", "unknown")
    return {
        "model": model,
        "family": f"{values.get('cpu family', '?')}, model {values.get('model', '?')}",
        "units": [unit for unit in UNITS if unit in flags],
    }


def without_bf16() -> str | None:
    """Why bf16 is not worth measuring here; None if it is."""
    if set(BF16_UNITS) & set(processor()["units"]):
        return None
    return f"the processor has none of {', '.join(BF16_UNITS)}"
