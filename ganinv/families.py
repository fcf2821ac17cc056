"""Families of interchangeable parts: one module per member; the module's name is the member's name.

Looking up a name imports only that member.
"""

import importlib
import pkgutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType

from ganinv.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """The modules of a package are the members, except for the modules in `shared`."""

    package: str
    path: Iterable[str]  # the package's `__path__`
    shared: frozenset[str]
    called: str  # in errors, for example network.name

    def names(self) -> list[str]:
        found = (module.name for module in pkgutil.iter_modules(self.path))
        return sorted(name for name in found if name not in self.shared)

    def find(self, name: str) -> ModuleType:
        """The member's module. Raises `ConfigError` if no member has this name.

        A member that is loaded needs no disk: every training step asks, and the code of a worker
        may be deleted under it.
        """
        loaded = sys.modules.get(f"{self.package}.{name}")
        if loaded is not None and name not in self.shared:
            return loaded
        if name not in self.names():
            raise ConfigError(
                f"{self.called} = {name!r}: unknown name; choose {', '.join(self.names())}"
            )
        return importlib.import_module(f"{self.package}.{name}")
