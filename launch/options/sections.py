"""Reads the options of commands without a recipe."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from ganinv.errors import ConfigError
from launch.options.places import LOCATIONS
from launch.options.reading import parse_words, read_words
from launch.options.words import assign, build_sections, make_absolute, make_writable


def read_sections(options: Sequence[str], sections: Mapping[str, type]) -> dict[str, Any]:
    """Sections for a command without a recipe. Raises `ConfigError` as `load_config` does."""
    problems: list[str] = []
    typed = parse_words(options, problems)
    schema = OmegaConf.create({name: OmegaConf.structured(cls) for name, cls in sections.items()})
    make_writable(schema)
    for key, value in read_words(schema, typed, problems).items():
        assign(schema, key, value, problems)
    for key in LOCATIONS:
        make_absolute(schema, key, problems)
    found = build_sections(schema, problems)
    if problems:
        raise ConfigError("\n".join(problems))
    return found
