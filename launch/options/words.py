"""Options as trees of OmegaConf: `key=value` words put into the schemas of typed dataclasses.

Problems are collected, not raised, so that a person hears of all of them at once.
"""

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganinv.errors import ConfigError


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a tree of mappings, under its dotted key."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def parse_words(words: Sequence[str], problems: list[str]) -> dict[str, Any]:
    """The values of `key=value` words, by dotted key."""
    given: dict[str, Any] = {}
    for word in words:
        key, equals, _ = word.partition("=")
        if not equals or not key:
            problems.append(f"{word!r}: options are written key=value, for example train.seed=1")
            continue
        try:
            parsed = OmegaConf.to_container(OmegaConf.from_dotlist([word]))
        except (OmegaConfBaseException, ValueError) as error:
            problems.append(f"{word!r}: cannot be read: {reason(error)}")
            continue
        assert isinstance(parsed, dict)
        given |= dict(leaves({str(k): v for k, v in parsed.items()}))
    return given


def grouped(given: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """Values by known key; what is given below a known key becomes a group of it.

    `{"train.learning_rate.kind": "cosine"}` gives `{"train.learning_rate": {"kind": "cosine"}}`:
    schedules and options by network are values of one key. Later words replace single entries.
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


def thaw(tree: DictConfig) -> None:
    """Let values be assigned although the dataclasses are frozen."""
    OmegaConf.set_readonly(tree, None)
    for key in map(str, tree):
        node = tree._get_node(key)
        if isinstance(node, DictConfig):
            thaw(node)
            if not node:  # a mapping whose keys a person chooses, such as network names
                OmegaConf.set_struct(node, False)


def assign(schema: DictConfig, key: str, value: Any, problems: list[str]) -> None:
    """Put a value in its place, converted to the type that the schema gives it."""
    known = known_keys(schema)
    if key not in known:
        problems.append(f"{key} = {value!r}: unknown key{nearest(key, known)}")
        return
    if key in ("objective.name", "network.name"):
        return  # chosen already; a wrong name is reported there
    before = OmegaConf.select(schema, key)
    try:
        OmegaConf.update(schema, key, value)
    except (OmegaConfBaseException, ValueError) as error:
        problems.append(f"{key} = {value!r}: {reason(error)}")
        return
    found = OmegaConf.select(schema, key)
    if isinstance(found, float) and not math.isfinite(found):
        problems.append(
            f"{key} = {found}: not a finite number; give one, or leave it out for {before}"
        )
        OmegaConf.update(schema, key, before)  # which its section finds nothing wrong with


def make_absolute(schema: DictConfig, key: str) -> None:
    """A relative path means the folder where the command was typed, on every worker."""
    path = OmegaConf.select(schema, key, default=None)
    if path and "://" not in path:
        OmegaConf.update(schema, key, str(Path(path).absolute()))


def known_keys(tree: DictConfig, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key in map(str, tree):
        node = tree._get_node(key)
        if isinstance(node, DictConfig) and node:
            keys += known_keys(node, f"{prefix}{key}.")
        else:
            keys.append(f"{prefix}{key}")
    return keys


def build_sections(schema: DictConfig, problems: list[str]) -> dict[str, Any]:
    """The dataclass of every section of which nothing is missing or wrong."""
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
    """The dataclass of a section; innermost first, so that a problem is named by its own path."""
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
    except (OmegaConfBaseException, ValueError) as error:
        problems.append(f"{path}: {reason(error)}")
    return None


def nearest(name: str, known: Sequence[str]) -> str:
    """A clause that offers the known name that looks most like `name`, if any does."""
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not matches:
        last = name.rpartition(".")[2]
        matches = [key for key in known if key.rpartition(".")[2] == last][:1]
    return f", did you mean {matches[0]!r}?" if matches else ""


def reason(error: Exception) -> str:
    """The first line of an error of OmegaConf, which appends the key that we name anyway."""
    return (str(error).splitlines() or [type(error).__name__])[0]
