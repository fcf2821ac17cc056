"""Memory that a worker frees is kept for its next step, not given back to the system."""

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
_LARGEST_KEPT_BYTES = 32 * 2**20  # glibc refuses more
_KEPT_BYTES = 512 * 2**20  # free at the end of the heap
_CHOSEN_BY_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let glibc keep freed blocks of up to 32 MiB; whether it does from now on.

    By itself it gives the larger ones back at once, so that a training step on the CPU gets
    thousands of fresh pages from the system, each zeroed for it: a tenth of a step's time, measured
    with a small GAN, and a third of that of reading samples. Nothing changes where the environment
    sets these limits itself, or where the C library knows none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or any(name in os.environ for name in _CHOSEN_BY_USER):
        return False
    trims = mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    maps = mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
    return bool(trims and maps)
