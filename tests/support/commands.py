"""Commands as a person types them, in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]


def launch(
    *words: str, timeout_s: float = 240, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m launch WORDS`, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "launch", *words],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def start(
    *words: str,
    output: IO[str],
    environment: dict[str, str] | None = None,
    module: str = "launch",
) -> subprocess.Popen[str]:
    """`python -m launch WORDS`, left running; the caller ends it.

    It starts deaf to SIGINT, as a script's background jobs do, and has to hear it all the same.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", module, *words],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def wait_until(
    condition: Callable[[], Any], deadline_s: float, what: str, every_s: float = 0.1
) -> Any:
    """Poll until `condition` gives something true; it is returned."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(every_s)
    raise AssertionError(f"{what}: not within {deadline_s} s")


def descendants(pid: int) -> set[int]:
    """All living children of a process, their children, and so on."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # ended meanwhile
            parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    newest = {pid}
    while newest:
        newest = {child for child, parent in parents.items() if parent in newest} - found
        found |= newest
    return found


def alive(pids: Sequence[int] | set[int]) -> set[int]:
    """Which of the processes still run (a zombie does not)."""
    running = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            running.add(pid)
    return running


def checkpoints(run_url: str) -> list[dict[str, Any]]:
    """What `ganinv checkpoints --json` says."""
    found = launch("checkpoints", f"storage.run={run_url}", "--json")
    assert found.returncode == 0, found.stderr
    rows: list[dict[str, Any]] = json.loads(found.stdout)["checkpoints"]
    return rows
