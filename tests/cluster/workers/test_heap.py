"""Freed memory stays with the process, so repeated work needs no fresh pages."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from cluster.workers.heap import keep_freed_memory
print(keep_freed_memory() if sys.argv[1] == "keep" else None)

def faults(work):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def step():
    blocks = [bytearray(size * 2**20) for size in (1, 3, 9, 27)]
    for block in blocks:
        block[::4096] = b"x" * len(block[::4096])

faults(step)  # the first step grows the heap to its final size
print(faults(step))
"""


def _run(how: str, environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split()


def test_a_repeated_step_gets_no_fresh_pages() -> None:
    (_, default), (kept, after) = _run("default", {}), _run("keep", {})
    if kept == "False":
        pytest.skip("the C library of this machine has no such setting")
    assert int(default) > 1000  # otherwise this test could not fail
    assert int(after) < 100


def test_the_users_own_settings_stay() -> None:
    assert _run("keep", {"MALLOC_TRIM_THRESHOLD_": "131072"})[0] == "False"
