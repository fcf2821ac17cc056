"""One file per network family. `find` loads it by its name, which is its module's name."""

import importlib
import pkgutil
from types import ModuleType

from ganinv.errors import ConfigError

_SHARED = {"base", "layers", "residual", "styled"}


def names() -> list[str]:
    """All families there are."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _SHARED)


def find(name: str) -> ModuleType:
    """The module of a family, holding its `Config` and its `build`."""
    if name not in names():
        raise ConfigError(f"network.name = {name!r}: no such family; choose {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")
