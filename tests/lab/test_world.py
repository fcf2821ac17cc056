"""The lab's world ends with whoever started it, also by force. A matter of seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, alive, descendants, wait_until

ENTER = Path(__file__).parent / "enter.sh"
# A host on which something runs that nobody waits for.
HOST = """
import os, time
from tests.lab.hosts import build
if lacks := os.environ.get("GANINV_LAB_LACKS"):
    raise SystemExit(f"lacks {lacks}")
(host,) = build(["alone"])
host.run("setsid sleep 600 >/dev/null 2>&1 &")
print("up:", host.run("hostname"), flush=True)
time.sleep(600)
"""


@pytest.mark.integration
def test_a_world_that_is_killed_leaves_nothing() -> None:
    process = subprocess.Popen(
        [ENTER, sys.executable, "-c", HOST],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        told = (line for line in process.stdout if line.startswith(("up:", "lacks ")))
        said = next(told, "nothing")
        if said.startswith("lacks "):
            pytest.skip(said.removeprefix("lacks ").strip())
        assert said == "up: alone\n"
        inside = descendants(process.pid)
        assert len(inside) >= 5  # the world's first process and Python, the host's, sshd, sleep
    finally:
        process.kill()
        process.wait(10)
    wait_until(lambda: not alive(inside), 10, "nothing is left")
