"""Options: typed dataclasses, below a recipe, below `key=value` words; all problems at once.

Every section's dataclass lives beside its owner. The objective and the network are chosen by name
first, so that a knob of another method is an unknown key.
"""

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganinv import objectives
from ganinv.errors import ConfigError
from ganinv.training import split_batch
from launch.schema import CHOICES, LOCATIONS, SECTIONS, RunConfig

RECIPES = Path(__file__).parent / "recipes"


def recipe_names() -> list[str]:
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str) -> dict[str, Any]:
    """A shipped recipe by name, or a YAML file by path. Raises `ConfigError` if there is none."""
    path = RECIPES / f"{name}.yaml"
    if not path.exists():
        path = Path(name)
        if path.suffix not in (".yaml", ".yml") or not path.exists():
            known = recipe_names()
            raise ConfigError(
                f"recipe {name!r}: there is no such recipe or YAML file{_nearest(name, known)}; "
                f"choose one of {', '.join(known)}"
            )
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path))
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"{path}: not a readable recipe: {_reason(error)}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: a recipe holds sections, for example 'train:'")
    return {str(key): value for key, value in loaded.items()}


def load_config(recipe: Mapping[str, Any], words: Sequence[str]) -> RunConfig:
    """Recipe below `key=value` words. Raises one `ConfigError` that lists all problems."""
    problems: list[str] = []
    given = _override(dict(_leaves(recipe)), _parse_words(words, problems))
    schema = _schema(given, problems)
    for key, value in given.items():
        _assign(schema, key, value, problems)
    for key in LOCATIONS:
        _make_absolute(schema, key)
    for number, part in enumerate(schema.data.mix):
        OmegaConf.set_readonly(part, None)  # thawed as the rest; it came with the options
        _make_absolute(schema, f"data.mix[{number}].url")
    sections = _sections(schema, problems)
    if not problems:
        problems += _combinations(sections)
    if problems:
        raise ConfigError("\n".join(problems))
    resolved = OmegaConf.to_container(schema, resolve=True)
    return RunConfig(**sections, resolved=resolved)  # type: ignore[arg-type]  # keys are strings


def _override(recipe: dict[str, Any], words: dict[str, Any]) -> dict[str, Any]:
    """Words replace the recipe's values; a number of workers also replaces a range, and back."""
    size, limits = {"cluster.workers"}, {"cluster.min_workers", "cluster.max_workers"}
    for typed, replaced in ((size, limits), (limits, size)):
        if typed & words.keys() and not replaced & words.keys():
            recipe = {key: value for key, value in recipe.items() if key not in replaced}
    return recipe | words


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _parse_words(words: Sequence[str], problems: list[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for word in words:
        key, equals, _ = word.partition("=")
        if not equals or not key:
            problems.append(f"{word!r}: options are written key=value, for example train.seed=1")
            continue
        try:
            parsed = OmegaConf.to_container(OmegaConf.from_dotlist([word]))
        except (OmegaConfBaseException, ValueError) as error:
            problems.append(f"{word!r}: cannot be read: {_reason(error)}")
            continue
        assert isinstance(parsed, dict)
        given |= dict(_leaves({str(k): v for k, v in parsed.items()}))
    return given


def _schema(given: Mapping[str, Any], problems: list[str]) -> DictConfig:
    sections: dict[str, Any] = {name: OmegaConf.structured(cls) for name, cls in SECTIONS.items()}
    defaults = {"objective": "pvdgan", "network": "conv"}
    for section, family in CHOICES.items():
        name = str(given.get(f"{section}.name", defaults[section]))
        known = family.names()
        if name not in known:
            problems.append(
                f"{section}.name = {name!r}: there is none of that name{_nearest(name, known)}; "
                f"choose {', '.join(known)}"
            )
            name = defaults[section]
        module: ModuleType = family.find(name)
        sections[section] = OmegaConf.structured(module.Config)
    schema = OmegaConf.create(sections)
    _thaw(schema)
    OmegaConf.set_struct(schema, True)
    return schema


def _thaw(tree: DictConfig) -> None:
    """Let values be assigned although the dataclasses are frozen."""
    OmegaConf.set_readonly(tree, None)
    for key in map(str, tree):
        node = tree._get_node(key)
        if isinstance(node, DictConfig):
            _thaw(node)


def _assign(schema: DictConfig, key: str, value: Any, problems: list[str]) -> None:
    known = _known_keys(schema)
    if key not in known:
        problems.append(f"{key} = {value!r}: unknown key{_nearest(key, known)}")
        return
    if key in ("objective.name", "network.name"):
        return  # chosen already; a wrong name is reported there
    before = OmegaConf.select(schema, key)
    try:
        OmegaConf.update(schema, key, value)
    except (OmegaConfBaseException, ValueError) as error:
        problems.append(f"{key} = {value!r}: {_reason(error)}")
        return
    found = OmegaConf.select(schema, key)
    if isinstance(found, float) and not math.isfinite(found):
        problems.append(
            f"{key} = {found}: not a finite number; give one, or leave it out for {before}"
        )
        OmegaConf.update(schema, key, before)  # which its section finds nothing wrong with


def _make_absolute(schema: DictConfig, key: str) -> None:
    """A relative path means the folder where the command was typed, on every worker."""
    path = OmegaConf.select(schema, key, default=None)
    if path and "://" not in path:
        OmegaConf.update(schema, key, str(Path(path).absolute()))


def _known_keys(tree: DictConfig, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key in map(str, tree):
        node = tree._get_node(key)
        if isinstance(node, DictConfig):
            keys += _known_keys(node, f"{prefix}{key}.")
        else:
            keys.append(f"{prefix}{key}")
    return keys


def _sections(schema: DictConfig, problems: list[str]) -> dict[str, Any]:
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
        problems.append(f"{path}.{error}")
    except (OmegaConfBaseException, ValueError) as error:
        problems.append(f"{path}: {_reason(error)}")
    return None


def _combinations(sections: Mapping[str, Any]) -> list[str]:
    """Problems that no section can see by itself."""
    problems = []
    for workers in sections["cluster"].sizes:
        try:
            split_batch(sections["train"], workers)
        except ConfigError as error:
            problems.append(str(error))
            break
    train, cluster = sections["train"], sections["cluster"]
    if train.precision == "bf16" and not cluster.use_gpu:
        problems.append(
            "train.precision = 'bf16': needs cluster.use_gpu=true; on a CPU choose fp32"
        )
    objective = objectives.find(sections["objective"].name).Objective(sections["objective"])
    try:
        objective.new_state(sections["network"].latent_size, train.global_batch)
    except ConfigError as error:
        problems.append(str(error))
    return problems


def _nearest(name: str, known: Sequence[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not matches:
        last = name.rpartition(".")[2]
        matches = [key for key in known if key.rpartition(".")[2] == last][:1]
    return f", did you mean {matches[0]!r}?" if matches else ""


def _reason(error: Exception) -> str:
    """The first line of an error of OmegaConf, which appends the key that we name anyway."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def read_sections(options: Sequence[str], sections: Mapping[str, type]) -> dict[str, Any]:
    """A few sections for a verb that needs no recipe. Raises `ConfigError` as `load_config`."""
    problems: list[str] = []
    given = _parse_words(options, problems)
    schema = OmegaConf.create({name: OmegaConf.structured(cls) for name, cls in sections.items()})
    _thaw(schema)
    for key, value in given.items():
        _assign(schema, key, value, problems)
    for key in LOCATIONS:
        _make_absolute(schema, key)
    found = _sections(schema, problems)
    if problems:
        raise ConfigError("\n".join(problems))
    return found
