"""Options as OmegaConf trees: `key=value` words are assigned to schemas of typed dataclasses.

Problems are collected instead of raised, so that the user sees all of them at once.
"""

import difflib
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from omegaconf import DictConfig, OmegaConf

from ganinv.errors import ConfigError
from ganinv.masking import masked
from ganinv.places.names import absolute
from launch.options.text import (
    UNREADABLE,
    holds_text,
    literal,
    option_of,
    options_of,
    reason,
)


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a tree of mappings, with its dotted key."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def grouped(given: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Values by known key; values given below a known key become a group of that key.

    `{"train.learning_rate.kind": "cosine"}` gives `{"train.learning_rate": {"kind": "cosine"}}`:
    a schedule, or the options of one network, are the value of a single key.
    """
    found: dict[str, Any] = {}
    for key, value in given.items():
        above = next((k for k in known if key.startswith(f"{k}.")), None)
        if above is None:
            found[key] = value
            continue
        group = found.get(above)
        group = found[above] = dict(group) if isinstance(group, Mapping) else {}
        *inner, last = key.removeprefix(f"{above}.").split(".")
        for name in inner:
            group = group.setdefault(name, {})
        group[last] = value
    return found


def make_writable(tree: DictConfig) -> None:
    """Allow assignments to a tree whose dataclasses are frozen."""
    OmegaConf.set_readonly(tree, None)
    for key in map(str, tree):
        node = tree._get_node(key)
        if isinstance(node, DictConfig):
            make_writable(node)
            if not node:  # a mapping whose keys the user chooses, such as network names
                OmegaConf.set_struct(node, False)


def assign(schema: DictConfig, key: str, value: Any, problems: list[str]) -> None:
    """Assign a value, converted to the type that the schema declares for the key."""
    option = option_of(schema, key)
    if option is None:
        known = [known for known, _ in options_of(schema)]
        problems.append(f"{key} = {value!r}: unknown key{nearest(key, known)}")
        return
    if key in ("objective.name", "network.name"):
        return  # `loading` has chosen the schema by this name, and reported a wrong one
    if masked(str(value)) != str(value):
        problems.append(
            f"{key}: a URL must not carry credentials, because options appear in logs and on "
            "pages; remove them, and give them in the environment (AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY for s3://) or where the filesystem's driver looks for them"
        )
        return
    before = OmegaConf.select(schema, key)
    if value == "" and holds_text(option):
        if before is not None:  # otherwise the key is reported as missing
            problems.append(f"{key}: empty; give a value, or leave it out for {before!r}")
        return
    if isinstance(before, float):
        value = _as_number(value)
    try:
        OmegaConf.update(schema, key, literal(value, option))
    except UNREADABLE as error:
        problems.append(f"{key} = {value!r}: {reason(error)}")
        return
    found = OmegaConf.select(schema, key)
    if isinstance(found, float) and not math.isfinite(found):
        problems.append(
            f"{key} = {found}: not a finite number; give one, or leave it out for {before}"
        )
        OmegaConf.update(schema, key, before)  # so that the section reports no further problem


def _as_number(value: Any) -> Any:
    """A float of a value that reads as one, for options that are a number or a schedule."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def make_absolute(schema: DictConfig, key: str, problems: list[str]) -> None:
    """Make a path absolute: workers may run in another folder, and at home, than the command."""
    path = OmegaConf.select(schema, key, default=None)
    # `s3:/x` is left to `parse_url`, which asks for the second slash.
    if isinstance(path, str | Path) and not re.match(r"$|s3:|file:|[^/]*://", str(path)):
        try:
            OmegaConf.update(schema, key, literal(str(absolute(str(path))), None))
        except ConfigError as error:
            problems.append(f"{key} = {error}")


def known_values(tree: DictConfig) -> dict[str, tuple[str, ...]]:
    """Every key of a schema, with its values where the key's type lists them (bool, Literal)."""
    return {key: _values_of(node._metadata.ref_type) for key, node in options_of(tree)}


def _values_of(kind: Any) -> tuple[str, ...]:
    if kind is bool:
        return ("true", "false")
    if get_origin(kind) is Literal:
        return tuple(map(str, get_args(kind)))
    if get_origin(kind) in (Union, UnionType):
        return tuple(value for member in get_args(kind) for value in _values_of(member))
    return ()


def build_sections(schema: DictConfig, problems: list[str]) -> dict[str, Any]:
    """The dataclass of every section that has no missing key and no problem."""
    sections: dict[str, Any] = {}
    for section in map(str, schema):
        missing = sorted(OmegaConf.missing_keys(schema[section]))
        if missing:
            problems += [f"{key}: missing; give {key}=…" for key in missing]
            continue
        built = _build(schema[section], section, problems)
        if built is not None:
            sections[section] = built
    return sections


def _build(node: DictConfig, path: str, problems: list[str]) -> Any:
    """The dataclass of a section; inner sections first, so that a problem names its own path."""
    before = len(problems)
    for key in map(str, node):
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            _build(child, f"{path}.{key}", problems)
    if len(problems) > before:
        return None
    try:
        return OmegaConf.to_object(node)
    except ConfigError as error:
        problems.append(f"{path}.{str(error).removeprefix(f'{path}.')}")
    except UNREADABLE as error:
        problems.append(f"{path}: {reason(error)}")
    return None


def nearest(name: str, known: Sequence[str]) -> str:
    """A clause that suggests the known name most similar to `name`; empty if none is similar."""
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not matches:
        last = name.rpartition(".")[2]
        matches = [key for key in known if key.rpartition(".")[2] == last][:1]
    return f", did you mean {matches[0]!r}?" if matches else ""
