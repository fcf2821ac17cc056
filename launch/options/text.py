"""Values of options: YAML, but text is exactly the text that was typed.

YAML turns `007`, `1e3`, `20_24` and `on` into numbers and truth values, and cuts `a #2` short. A
run or a data set named so would lie in another place. The type of an option therefore decides how
its value is read.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from omegaconf import DictConfig, ListConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

# What reading or converting a value may raise.
UNREADABLE = (OmegaConfBaseException, ValueError, yaml.YAMLError)


class TextLoader(yaml.SafeLoader):
    """Reads each scalar as the text of the file. Only null and merge keys keep their meaning."""


TextLoader.yaml_implicit_resolvers = {}
TextLoader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"(null|Null|NULL|)$"), ["n", "N", ""]
)
TextLoader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"<<$"), ["<"])


def read_as_text(text: str) -> Any:
    """Mappings and lists of YAML, with text in them. Raises `yaml.YAMLError`."""
    return yaml.load(text, TextLoader)  # noqa: S506 (a safe loader)


def options_of(tree: DictConfig, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Every option of a schema, with its dotted key."""
    for key in map(str, tree):
        node = tree._get_node(key)
        assert isinstance(node, Node)
        if isinstance(node, DictConfig) and node:
            yield from options_of(node, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", node


def option_of(tree: DictConfig, key: str) -> Node | None:
    """The option with a dotted key, or None: what `options_of` yields for this key."""
    node: Any = tree
    for name in key.split("."):
        # `name in node` denies an option whose value is missing.
        if not isinstance(node, DictConfig) or name not in node.keys():  # noqa: SIM118
            return None
        node = node._get_node(name)
    assert isinstance(node, Node)
    return None if isinstance(node, DictConfig) and node else node


def holds_text(node: Node) -> bool:
    """Whether an option is text, or one of several words."""
    kind = node._metadata.ref_type
    words = get_args(kind) if get_origin(kind) is Literal else ()
    return takes_any_text(node) or (bool(words) and all(isinstance(word, str) for word in words))


def takes_any_text(node: Node) -> bool:
    """Whether any text may be the value of an option: a name, a place, a path."""
    return node._metadata.ref_type in (str, Path)


def from_word(text: str, node: Node | None) -> Any:
    """The value of an option of the command line; `node` is None for an unknown key.

    No text and `null` mean none where an option may be none. Raises one of `UNREADABLE`.
    """
    if node is not None and holds_text(node):
        return None if text in ("", "null") and node._metadata.optional else text
    parsed = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
    assert isinstance(parsed, dict)
    if isinstance(node, ListConfig):
        return read_as_text(text)
    return parsed["value"] if node is None else _decimal(parsed["value"], text, node)


def from_recipe(parsed: Any, text: Any, node: Node | None) -> Any:
    """The value of an option of a recipe: of what YAML makes of it, and the text of the file."""
    if node is None or (parsed is None and (node._metadata.optional or text is None)):
        return parsed
    if "${" in str(text):
        return parsed  # interpolated
    if holds_text(node) or isinstance(node, ListConfig):
        return text
    return _decimal(parsed, text, node)


def _decimal(parsed: Any, text: Any, node: Node) -> Any:
    """Whole numbers are decimal, even with leading zeros, which YAML takes for octal.

    Where an option may also be text, such as a size, anything else is that text.
    """
    kind = node._metadata.ref_type
    or_text = str in get_args(kind)
    if type(parsed) is int and (kind is int or or_text):
        try:
            return int(text)
        except ValueError:
            return text if or_text else parsed
    return parsed


def literal(value: Any, node: Node | None) -> Any:
    """A value that OmegaConf keeps as it is: it would replace `${x}` in text.

    Raises `ValueError` for such text where an option takes a number or a truth value.
    """
    if isinstance(value, str) and "${" in value:
        if node is not None and node._metadata.ref_type in (int, float, bool):
            raise ValueError("variables are not replaced here; give the value itself")
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, list):
        return [literal(item, None) for item in value]
    if isinstance(value, dict):
        return {key: literal(item, None) for key, item in value.items()}
    return value


def reason(error: Exception) -> str:
    """The first line of an error of OmegaConf, whose further lines repeat the key; or YAML's."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        where = f" in line {mark.line + 1}" if mark is not None and mark.line else ""
        return f"not YAML ({error.problem}{where}); put text with special characters in quotes"
    return (str(error).splitlines() or [type(error).__name__])[0]
