"""Processes of one thread in this checkout, or in another one with the same environment."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).parents[2]
LONGEST_S = 600  # of any process that is waited for
_SCRIPTS = Path(__file__).parent


def script(name: str, checkout: Path, case: Mapping[str, Any]) -> dict[str, Any]:
    """The line of JSON that a script of this folder prints, run in `checkout`."""
    command, where = _command(name, checkout, case)
    return last_line(command, **where)


def last_line(command: list[str], **where: Any) -> dict[str, Any]:
    """The last line of a command's output, as JSON. Raises `SubprocessError` if it fails."""
    done = subprocess.run(  # noqa: S603 (ourselves)
        command, stdout=subprocess.PIPE, text=True, check=True, timeout=LONGEST_S, **where
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class Training:
    """A process that waits, and trains as many steps as it is told to: `training_steps.py`."""

    def __init__(self, checkout: Path, case: Mapping[str, Any]) -> None:
        command, where = _command("training_steps", checkout, case)
        self._process = subprocess.Popen(  # noqa: S603 (ourselves)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **where
        )
        self._answer()  # after the first steps, which are not counted

    def take(self, steps: int) -> dict[str, float]:
        """Images, and seconds of processor and wall time, of the next `steps` steps."""
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a training process ended with status {self._process.wait()}")
        found: dict[str, float] = json.loads(line)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=60)  # ends with its input


def _command(
    name: str, checkout: Path, case: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """A script's command, and where it runs: the checkout's modules come before all others."""
    command = [sys.executable, "-P", str(_SCRIPTS / f"{name}.py"), json.dumps(case)]
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    return command, {"cwd": checkout, "env": environment}
