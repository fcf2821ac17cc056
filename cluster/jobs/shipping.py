"""Which files of the checkout Ray ships to a cluster's nodes, and a limit on their size."""

import logging
from pathlib import Path

from ganinv.errors import ConfigError
from ganinv.seams.stores import Entry

log = logging.getLogger(__name__)
CHECKOUT = Path(__file__).parents[2]
# Nodes do not need these. Ray also excludes what .gitignore and .rayignore name.
EXCLUDED = [".git", ".venv", ".demo", ".store", "runs", "tests", "docs"]
# Ray's job server refuses larger requests. It counts compressed bytes; here bytes are uncompressed.
LIMIT_BYTES = 100 * 2**20
NAMED = 5  # largest files in the error message


def shipped(checkout: Path = CHECKOUT) -> list[Entry]:
    """The files that Ray packs for `working_dir`, found by Ray's own rules, largest first.

    Raises `ConfigError` if they exceed the job server's limit.
    """
    # Not public, but there is no other way to find out before uploading; versions are pinned.
    from ray._private.ray_constants import get_runtime_env_default_excludes
    from ray._private.runtime_env.packaging import _dir_travel, _get_excludes

    files: list[Entry] = []

    def add(path: Path) -> None:
        if path.is_file():
            files.append(Entry(str(path.relative_to(checkout)), path.stat().st_size))

    patterns = get_runtime_env_default_excludes() + EXCLUDED
    excluded = [_get_excludes(checkout, patterns)]
    _dir_travel(checkout, excluded, add, include_gitignore=True, logger=log)
    files.sort(key=lambda entry: entry.size_bytes, reverse=True)
    total = sum(entry.size_bytes for entry in files)
    if total > LIMIT_BYTES:
        largest = ", ".join(f"{e.name} ({e.size_bytes / 1e6:.1f} MB)" for e in files[:NAMED])
        raise ConfigError(
            f"the checkout {checkout} has {total / 1e6:.1f} MB to ship to the cluster, above the "
            f"limit of {LIMIT_BYTES / 1e6:.0f} MB; list files that nodes do not need in "
            f".rayignore (largest: {largest})"
        )
    return files


def runtime_environment() -> dict[str, object]:
    """Ray's `runtime_env` that ships the checkout to every node of a job."""
    return {"working_dir": str(CHECKOUT), "excludes": EXCLUDED}
