"""Builds option dataclasses from the plain values that manifests and exports hold.

The commands build option dataclasses with OmegaConf, which the library does not require.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import ModuleType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ganinv.errors import ConfigError

Options = TypeVar("Options")


def member_from_plain(
    find: Callable[[str], ModuleType], options: Mapping[str, Any], section: str
) -> tuple[ModuleType, Any]:
    """The member that a section names, and its `Config`. Raises as `from_plain` does."""
    values = options.get(section)
    if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
        raise ConfigError(f"{section} = {values!r}: must be a group of options with a name")
    module = find(values["name"])
    return module, from_plain(module.Config, values, section)


def from_plain(kind: type[Options], values: Any, where: str) -> Options:
    """A dataclass `kind` from a tree of plain values; `where` names the tree in messages.

    Raises `ConfigError` for the first key that is unknown or missing, or whose value has the wrong
    type or is refused by the dataclass.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} = {values!r}: must be a group of options")
    assert is_dataclass(kind)
    hints, known = get_type_hints(kind), [field.name for field in fields(kind)]
    given: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            nearest = difflib.get_close_matches(str(key), known, n=1)
            hint = f", did you mean {nearest[0]!r}?" if nearest else ""
            raise ConfigError(
                f"{where}.{key} = {value!r}: unknown key{hint}; correct it, or use the ganinv "
                "version that wrote the key"
            )
        if is_dataclass(hints[key]):
            value = from_plain(hints[key], value, f"{where}.{key}")
        elif not _fits(value, hints[key]):
            raise ConfigError(f"{where}.{key} = {value!r}: must be {_name(hints[key])}")
        given[key] = value
    try:
        return kind(**given)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from error
    except TypeError as error:
        raise ConfigError(f"{where}: {error}; add the missing keys") from error


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True  # the dataclass itself checks it
    origin = get_origin(hint)
    if origin is Literal:
        return value in get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, choice) for choice in get_args(hint))
    if isinstance(value, bool):
        return hint is bool  # Python's bool is an int
    if hint is float:
        return isinstance(value, (int, float))
    return isinstance(value, origin or hint)


def _name(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
