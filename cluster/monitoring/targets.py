"""Where a Prometheus on the same machine finds runs: a folder with one file for each that lives.

The files are those of Prometheus' file-based discovery. A run holds a lock beside its file as long
as its directory actor lives; the kernel frees it however that ends, so that `sweep` can tell what
dead runs left behind. The folder belongs to the user, not to a checkout or a run: `ganinv monitor`
finds runs that were started before it, after it and elsewhere.
"""

import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import IO, Any

# One group of targets with equal labels, as Prometheus reads it.
Group = dict[str, Any]


def targets_folder() -> Path:
    """`~/.local/state/ganinv/targets`, or below XDG_STATE_HOME."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "ganinv" / "targets"


class TargetsFile:
    """The file of one run. Raises `OSError` where the folder cannot be written."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(folder)
        self._path = folder / f"{secrets.token_hex(8)}.json"
        self._lock = _locked(self._path.with_suffix(".lock"))

    def write(self, groups: list[Group]) -> None:
        """Replace the groups, as a whole."""
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(groups))
        new.replace(self._path)

    def close(self) -> None:
        for suffix in (".json", ".lock"):
            self._path.with_suffix(suffix).unlink(missing_ok=True)
        self._lock.close()


def sweep(folder: Path) -> None:
    """Remove the files of runs that are no more."""
    for path in folder.glob("*.lock"):
        with path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its run lives
            path.with_suffix(".new").unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def _locked(path: Path) -> IO[str]:
    """A locked file that comes under its name only then, so that no sweep finds it unlocked."""
    new = path.with_suffix(".locking")
    lock = new.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    new.replace(path)
    return lock
