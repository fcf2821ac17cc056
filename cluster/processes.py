"""Processes of this machine that cannot be mistaken for others."""

import platform
from pathlib import Path


def place() -> str:
    """Where process numbers mean what they mean here: host, boot, and namespace of processes."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{platform.node()}/{boot}/{Path('/proc/self/ns/pid').readlink()}"


def start_of(pid: int) -> str | None:
    """When the process started; None if there is none or only its exit status is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, start_ticks = fields[0], fields[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if state in ("Z", "X") else f"{boot}/{start_ticks}"
