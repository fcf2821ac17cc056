"""One file per metric. `find` loads it by its name, which is its module's name."""

import importlib
import pkgutil
from types import ModuleType

from ganinv.errors import ConfigError

_SHARED = {"base", "features"}


def names() -> list[str]:
    """All metrics there are."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _SHARED)


def find(name: str) -> ModuleType:
    """The module of a metric, holding its `METRIC`, one of the two kinds in `base`."""
    if name not in names():
        raise ConfigError(f"metric {name!r}: there is no such metric; choose {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")
