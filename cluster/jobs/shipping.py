"""What of the checkout travels to a cluster's nodes: all but what is ignored, and not too much."""

import logging
from pathlib import Path

from ganinv.errors import ConfigError
from ganinv.seams.stores import Entry

log = logging.getLogger(__name__)
CHECKOUT = Path(__file__).parents[2]
# What a node does not need; .gitignore and .rayignore are honoured by Ray as well.
EXCLUDED = [".git", ".venv", ".demo", ".store", "runs", "tests", "docs"]
# Ray's job server refuses larger requests; it counts compressed bytes, this counts more.
LIMIT_BYTES = 100 * 2**20
NAMED = 5  # of the largest files, in the refusal


def shipped(checkout: Path = CHECKOUT) -> list[Entry]:
    """The files that Ray packs for `working_dir`, found by Ray's own rules; largest first.

    Raises `ConfigError` if they are too many bytes for the job server.
    """
    # Not public, but there is no other way to know before a package is made; versions are pinned.
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
            f"the checkout {checkout} has {total / 1e6:.1f} MB to ship to the cluster, which is "
            f"above the limit of {LIMIT_BYTES / 1e6:.0f} MB; name what nodes do not need in "
            f".rayignore (largest: {largest})"
        )
    return files


def runtime_environment() -> dict[str, object]:
    """Ray's `runtime_env` that takes the checkout to every node of a job."""
    return {"working_dir": str(CHECKOUT), "excludes": EXCLUDED}
