"""The lab's namespaces end with the process that started them, also when that is killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, alive, descendants, wait_until

ENTER = Path(__file__).parent / "enter.sh"
# A host on which an orphan runs.
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
def test_a_killed_lab_leaves_no_process() -> None:
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
        lines = (line for line in process.stdout if line.startswith(("up:", "lacks ")))
        line = next(lines, "nothing")
        if line.startswith("lacks "):
            pytest.skip(line.removeprefix("lacks ").strip())
        assert line == "up: alone\n"
        inside = descendants(process.pid)
        assert len(inside) >= 5  # first processes of lab and host, Python, sshd, sleep
    finally:
        process.kill()
        process.wait(10)
    wait_until(lambda: not alive(inside), 10, "no process is left")
