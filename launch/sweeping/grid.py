"""The grid of a sweep: options with several values, and a training for each combination.

    objective.lambda_r1=1,4,16                         three values
    objective.lambda_r1,objective.lambda_r2=1,4,16     the same value for both, three times
    train.networks={…},{…}   start.networks=[g],[d]    brackets and braces hold one value together

Text options, such as `data.url`, are never cut: a comma is part of their text.
"""

import hashlib
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml
from omegaconf import Node

from ganinv.errors import ConfigError
from launch.options.loading import schema_for
from launch.options.run_labels import labelled
from launch.options.schema import CHOICES
from launch.options.stages import STAGES, stages_of
from launch.options.text import TextLoader, options_of, takes_any_text
from launch.options.words import leaves

SEED = "train.seed"
# Of these, trainings that are compared must have the same.
FIXED = ("storage", "data", "evaluate", "metrics", "checkpoint", "sweep")
LONGEST = 24  # characters of a value in the name of a folder


class Axis(NamedTuple):
    """Options that take the same values, one after another."""

    keys: tuple[str, ...]
    values: tuple[str, ...]  # as typed


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """One combination of values."""

    name: str  # of its folder, below that of the sweep
    values: Mapping[str, str]  # first key of an axis → value
    words: tuple[str, ...]  # of all axes, as `ganinv train` takes them

    def label(self, names: Mapping[str, str]) -> str:
        """In words; `names`: key → what people call it."""
        return " ".join(f"{names[key]}={value}" for key, value in self.values.items())


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """The axes, the words that all trainings share, and the trainings."""

    axes: tuple[Axis, ...]
    fixed: tuple[str, ...]
    trainings: tuple[Training, ...]

    @property
    def names(self) -> dict[str, str]:
        """First key of an axis → the shortest end of it that no other axis shares."""
        return _names(self.axes)


def grid_of(recipe: Mapping[str, Any], words: Sequence[str], limit: int) -> Grid:
    """Raises `ConfigError` for a grid with too many trainings, with none, or with one twice."""
    options = _options(recipe, words)
    axes, fixed = list[Axis](), list[str]()
    for word in words:
        keys, values = _read(word, options)
        if len(values) > 1:
            axes.append(Axis(keys, values))
        else:
            fixed += [f"{key}={word.partition('=')[2]}" for key in keys]
    _check_axes(axes, fixed)
    numbers = [len(axis.values) for axis in axes]
    if (count := math.prod(numbers)) > limit:
        product = f"{' × '.join(map(str, numbers))} = " if len(numbers) > 1 else ""
        raise ConfigError(
            f"sweep.limit = {limit}: the grid has {product}{count} trainings; name fewer values, "
            f"or allow them with sweep.limit={count}"
        )
    trainings = tuple(_trainings(axes))
    twice = [name for name, times in Counter(t.name for t in trainings).items() if times > 1]
    if twice:
        raise ConfigError(f"{twice[0]}: the grid has this training twice; name each value once")
    return Grid(axes=tuple(axes), fixed=tuple(fixed), trainings=trainings)


def plain(value: str) -> str:
    """A number in one spelling, `1.0` and `1e0` as `1`; other text as it is."""
    try:
        return repr(float(value)).removesuffix(".0")
    except ValueError:
        return value.strip()


def split_values(text: str) -> tuple[str, ...]:
    """The text at its commas, outside of brackets, braces and quotes; whole if it is no YAML."""
    line = f"[{text}]"
    try:
        node = yaml.compose(line, TextLoader)
    except yaml.YAMLError:
        return (text,)
    if not isinstance(node, yaml.SequenceNode) or node.end_mark.index < len(line):
        return (text,)
    found = [line[part.start_mark.index : part.end_mark.index].strip() for part in node.value]
    return tuple(found) if len(found) > 1 else (text,)


def _read(word: str, options: Mapping[str, Node]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys of a word, and its values: more than one for an axis."""
    typed, _, text = word.partition("=")
    keys = tuple(typed.split(","))
    cuts = "." in typed and not any(_is_text(_without_stage(key), options) for key in keys)
    return keys, split_values(text) if cuts else (text,)


def _is_text(key: str, options: Mapping[str, Node]) -> bool:
    """Whether any text is a value of this option, so that a comma may belong to it."""
    node = options.get(key)
    if node is None or key in {f"{section}.name" for section in CHOICES}:
        return False
    return takes_any_text(node)


def _options(recipe: Mapping[str, Any], words: Sequence[str]) -> dict[str, Node]:
    """The options of all stages; those of other methods and networks are unknown here."""
    typed = dict(word.partition("=")[::2] for word in words)
    found: dict[str, Node] = {}
    for stage in stages_of(recipe, []):
        given = dict(leaves(stage.recipe)) | typed
        found |= dict(options_of(schema_for(given, [])))
    return found


def _without_stage(key: str) -> str:
    parts = key.split(".")
    return ".".join(parts[2:]) if parts[0] == STAGES and len(parts) > 2 else key


def _check_axes(axes: Sequence[Axis], fixed: Sequence[str]) -> None:
    if not axes:
        raise ConfigError(
            "no option has several values, so there is nothing to sweep; give some, for example "
            "objective.lambda_r1=1,4,16"
        )
    given = [key for axis in axes for key in axis.keys]
    given += [word.partition("=")[0] for word in fixed]
    swept = {key for axis in axes for key in axis.keys}
    for key, times in Counter(given).items():
        if key in swept and times > 1:
            raise ConfigError(f"{key}: given {times} times; give it once, with all its values")
    for key in swept:
        section = _without_stage(key).partition(".")[0]
        if section in FIXED:
            raise ConfigError(
                f"{key}: has several values, but trainings are compared, and need the same "
                f"{section} options; give one value (a list in brackets)"
            )


def _names(axes: Sequence[Axis]) -> dict[str, str]:
    keys = [axis.keys[0] for axis in axes]
    short = labelled([key.replace(".", "/") for key in keys])
    return {place.replace("/", "."): name.replace("/", ".") for name, place in short.items()}


def _trainings(axes: Sequence[Axis]) -> Iterator[Training]:
    names = _names(axes)
    for values in itertools.product(*(axis.values for axis in axes)):
        pairs = list(zip(axes, values, strict=True))
        yield Training(
            name="_".join(f"{names[a.keys[0]]}-{_in_folder(value)}" for a, value in pairs),
            values={axis.keys[0]: plain(value) for axis, value in pairs},
            words=tuple(f"{key}={value}" for axis, value in pairs for key in axis.keys),
        )


def _in_folder(value: str) -> str:
    """A value as part of a folder's name, the same for equal values."""
    text = plain(value)
    if re.fullmatch(rf"[\w.-]{{1,{LONGEST}}}", text, re.ASCII):
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:8]
