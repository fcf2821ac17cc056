"""The folder where a Prometheus on this machine finds runs: one targets file for each live run.

The files have the format of Prometheus' file-based discovery. While a run's directory actor lives,
it holds a lock beside its file. The kernel releases the lock however the actor ends, so that
`remove_stale` recognises the files of dead runs. The folder belongs to the user, not to a checkout
or a run: `ganinv monitor` finds every run of the user, whenever and from wherever it was started.
"""

import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import IO, Any

# Targets with equal labels, in the format of Prometheus.
TargetGroup = dict[str, Any]


def targets_folder() -> Path:
    """`~/.local/state/ganinv/targets`, or below XDG_STATE_HOME."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "ganinv" / "targets"


class TargetsFile:
    """The targets file of one run. Raises `OSError` if the folder cannot be written."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_stale(folder)
        self._path = folder / f"{secrets.token_hex(8)}.json"
        self._lock = _locked(self._path.with_suffix(".lock"))

    def write(self, groups: list[TargetGroup]) -> None:
        """Replace the file's content, atomically."""
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(groups))
        new.replace(self._path)

    def close(self) -> None:
        for suffix in (".json", ".lock"):
            self._path.with_suffix(suffix).unlink(missing_ok=True)
        self._lock.close()


def remove_stale(folder: Path) -> None:
    """Remove the files of runs that have ended."""
    for path in folder.glob("*.lock"):
        with path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its run is alive
            path.with_suffix(".new").unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def _locked(path: Path) -> IO[str]:
    """Create a file and lock it before it gets its name, so that nobody finds it unlocked."""
    new = path.with_suffix(".locking")
    lock = new.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    new.replace(path)
    return lock
