"""Reads the options of commands without a recipe."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ganinv.errors import ConfigError
from launch.options.places import LOCATIONS
from launch.options.reading import parse_words, read_words
from launch.options.text import options_of
from launch.options.words import assign, build_sections, make_absolute, make_writable


def read_sections(options: Sequence[str], sections: Mapping[str, type]) -> dict[str, Any]:
    """Sections for a command without a recipe. Raises `ConfigError` as `load_config` does."""
    problems: list[str] = []
    typed = parse_words(options, problems)
    schema = OmegaConf.create({name: OmegaConf.structured(cls) for name, cls in sections.items()})
    make_writable(schema)
    given = read_words(schema, typed, problems)
    for key, value in _with_mappings(given, schema).items():
        assign(schema, key, value, problems)
    for key in LOCATIONS:
        make_absolute(schema, key, problems)
    found = build_sections(schema, problems)
    if problems:
        raise ConfigError("\n".join(problems))
    return found


def _with_mappings(given: Mapping[str, Any], schema: DictConfig) -> dict[str, Any]:
    """Values below a mapping whose keys the user chooses become one value, by the mapping's key.

    Such a key may hold dots: `edit.by={radius>0.5: 1}`.
    """
    mappings = [key for key, node in options_of(schema) if isinstance(node, DictConfig)]
    found: dict[str, Any] = {}
    for key, value in given.items():
        above = next((m for m in mappings if key.startswith(f"{m}.")), None)
        if above is None:
            found[key] = value
        else:
            found.setdefault(above, {})[key.removeprefix(f"{above}.")] = value
    return found
