"""One file per method. `find` loads it by its name, which is its module's name."""

import importlib
import pkgutil
from types import ModuleType

from ganinv.errors import ConfigError

_SHARED = {"base", "adversarial"}


def names() -> list[str]:
    """All methods there are."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _SHARED)


def find(name: str) -> ModuleType:
    """The module of a method, holding its `Config` and its `Objective`."""
    if name not in names():
        raise ConfigError(f"objective.name = {name!r}: no such method; choose {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")
