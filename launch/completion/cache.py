"""What commands accept, remembered between completions: collecting it imports every command.

The file belongs to one checkout and one state of the sources, told by their sizes and times.
"""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from launch.completion.candidates import Offers

CHECKOUT = Path(__file__).parents[2]
SOURCES = ("ganinv", "datasets", "cluster", "launch")


def remembered(collect: Callable[[], Offers]) -> Offers:
    """The offers in the cache, or those that `collect` returns, which are then remembered."""
    file, state = cache_file(), state_of_sources()
    with suppress(OSError, ValueError, KeyError, TypeError):  # no file, or no usable one
        found = json.loads(file.read_text())
        if found["sources"] == state:
            return Offers(**found["offers"])
    offers = collect()
    with suppress(OSError):  # a read-only home: the next completion collects again
        file.parent.mkdir(parents=True, exist_ok=True)
        written = file.with_name(f"{file.name}.{uuid4().hex}")
        written.write_text(json.dumps({"sources": state, "offers": asdict(offers)}))
        written.replace(file)  # a completion that runs at the same time reads the whole file
    return offers


def cache_file() -> Path:
    """In the user's folder of caches, one file a checkout."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:12]
    return caches / "ganinv" / f"completion-{name}.json"


def state_of_sources(checkout: Path = CHECKOUT) -> str:
    """Equal as long as no source and no recipe is added, removed or changed."""
    state = hashlib.sha256()
    for folder in SOURCES:
        for place, folders, files in os.walk(checkout / folder):
            folders.sort()
            for name in sorted(files):
                if name.endswith((".py", ".yaml")):
                    found = os.stat(f"{place}/{name}")  # noqa: PTH116 (half the time of a Path)
                    state.update(f"{place}/{name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return state.hexdigest()
