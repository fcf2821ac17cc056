"""Families of interchangeable parts: one file per member, whose name is its module's name.

Light to import: looking up a name loads that member alone.
"""

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType

from ganinv.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """The members in the folder of a package; `shared` are its files that are no members."""

    package: str
    path: Iterable[str]  # the package's `__path__`
    shared: frozenset[str]
    called: str  # in errors, for example network.name

    def names(self) -> list[str]:
        found = (module.name for module in pkgutil.iter_modules(self.path))
        return sorted(name for name in found if name not in self.shared)

    def find(self, name: str) -> ModuleType:
        """The member's module. Raises `ConfigError` if there is none of that name."""
        if name not in self.names():
            raise ConfigError(
                f"{self.called} = {name!r}: there is none of that name; choose "
                f"{', '.join(self.names())}"
            )
        return importlib.import_module(f"{self.package}.{name}")
