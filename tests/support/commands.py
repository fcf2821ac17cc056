"""Run commands as a user types them; inspect the processes of this machine."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from launch.verbs import module_of

ROOT = Path(__file__).parents[2]


def here(verb: str, *words: str) -> int:
    """Run a verb in this process, without the imports of a new one; its status.

    What would be printed as one sentence, with an exit status, is raised.
    """
    status: int = importlib.import_module(module_of(verb)).main(list(words))
    return status


def launch(
    *words: str, timeout_s: float = 240, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m launch WORDS` to its end."""
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
    new_session: bool = False,
) -> subprocess.Popen[str]:
    """Start `python -m launch WORDS`; the caller ends it.

    `new_session`: it and its children form a process group of their own, as in a terminal.

    The command inherits an ignored SIGINT, as a script's background jobs do. It must react to
    SIGINT nevertheless.
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
            start_new_session=new_session,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def wait_until(
    condition: Callable[[], Any], deadline_s: float, what: str, every_s: float = 0.1
) -> Any:
    """Poll until `condition` returns a true value; returns that value.

    Raises `AssertionError` with `what` after `deadline_s` seconds.
    """
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
                continue  # the process has ended
            parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    newest = {pid}
    while newest:
        newest = {child for child, parent in parents.items() if parent in newest} - found
        found |= newest
    return found


def alive(pids: Sequence[int] | set[int]) -> set[int]:
    """Those of the processes that still run; a zombie does not run."""
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
    """The rows that `ganinv checkpoints --json` prints."""
    done = launch("checkpoints", f"storage.run={run_url}", "--json")
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["checkpoints"]
    return rows
