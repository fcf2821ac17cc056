"""Reads `key=value` words and recipes, each value as the type of its option asks.

Problems of words are collected instead of raised, so that the user sees all of them at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from launch.options.text import (
    UNREADABLE,
    from_recipe,
    from_word,
    options_of,
    read_as_text,
    reason,
)
from launch.options.words import leaves


def parse_words(words: Sequence[str], problems: list[str]) -> dict[str, Any]:
    """The text after `=` of each word, by dotted key; `a={b: c}` counts as `a.b=c`."""
    given: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            problems.append(f"{word!r}: options are written key=value, for example train.seed=1")
        elif "." not in key and text.startswith("{"):
            try:
                given |= dict(leaves({key: read_as_text(text)}))
            except UNREADABLE as error:
                problems.append(f"{key} = {text!r}: {reason(error)}")
        else:
            given[key] = text
    return given


def read_words(schema: DictConfig, typed: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """The values of `parse_words`, each read as the type of its option asks."""
    options = dict(options_of(schema))
    given: dict[str, Any] = {}
    for key, text in typed.items():
        try:
            value = from_word(text, options.get(key)) if isinstance(text, str) else text
        except UNREADABLE as error:
            problems.append(f"{key} = {text!r}: {reason(error)}")
            continue
        given |= dict(leaves({key: value}))
    return given


def with_text(
    schema: DictConfig, loaded: Mapping[str, Any], texts: Mapping[str, Any]
) -> dict[str, Any]:
    """A recipe with the text of its file, as far as its options are text.

    `loaded`: its values as YAML resolves them; `texts`: the same as text, by dotted key.
    """
    options = dict(options_of(schema))

    def chosen(key: str, value: Any) -> Any:
        if isinstance(value, Mapping) and key not in options:
            return {str(name): chosen(f"{key}.{name}", inner) for name, inner in value.items()}
        return from_recipe(value, texts.get(key), options.get(key))

    return {section: chosen(section, value) for section, value in loaded.items()}
