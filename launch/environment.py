"""What a command makes of the environment it was started in, before it imports anything heavy."""

import importlib.util
import sys
from pathlib import Path

from ganinv.command import replace_unprintable
from ganinv.errors import ConfigError
from ganinv.places.loopback import spare_loopback

CHECKOUT = Path(__file__).parents[1]
PACKAGES = ("cluster", "datasets", "ganinv", "launch")  # of this checkout


def prepare() -> None:
    """Print on any terminal, reach this machine without proxies, and check the packages.

    Raises `ConfigError` as `check_packages` does.
    """
    replace_unprintable()
    spare_loopback()
    check_packages()


def check_packages() -> None:
    """Raises `ConfigError` if Python finds other packages in place of this checkout's."""
    for name in PACKAGES:
        found = _place(name)
        if found is None or not found.is_relative_to(CHECKOUT):
            raise ConfigError(
                f"the package {name!r} is found in {found or 'no file'}, not in this checkout, "
                "because PYTHONPATH or the current folder comes first; use "
                f"{CHECKOUT}/.venv/bin/ganinv, or put {CHECKOUT} first in PYTHONPATH"
            )


def _place(name: str) -> Path | None:
    """The file of a package that is imported or would be, without importing it."""
    loaded = sys.modules.get(name)
    spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(name)
    return Path(spec.origin).resolve() if spec is not None and spec.origin else None
