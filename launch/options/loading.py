"""Loads options. A recipe overrides defaults, and `key=value` words override the recipe.

One error lists all problems. Every section's dataclass lives beside the code it configures. The
names of the objective and the network are read first, so that an option of another method is an
unknown key.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ganinv import networks, objectives
from ganinv.errors import ConfigError
from ganinv.places.names import absolute
from ganinv.schedules import NEEDED
from ganinv.training.config import lay_out_batch
from launch.options.places import LOCATIONS
from launch.options.reading import parse_words, read_words, with_text
from launch.options.schema import CHOICES, SECTIONS, RunConfig
from launch.options.stages import STAGES, Stage, over, stages_of
from launch.options.text import UNREADABLE, options_of, read_as_text, reason
from launch.options.words import (
    assign,
    build_sections,
    grouped,
    known_values,
    leaves,
    make_absolute,
    make_writable,
    nearest,
)

RECIPES = Path(__file__).parents[1] / "recipes"


def recipe_names() -> list[str]:
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str) -> dict[str, Any]:
    """A shipped recipe by name, or a YAML file by path. Raises `ConfigError` if there is none."""
    path = RECIPES / f"{name}.yaml"
    if not path.exists():
        path = absolute(name) if name.startswith("~") else Path(name)
        if path.suffix not in (".yaml", ".yml") or not path.is_file():
            known = recipe_names()
            raise ConfigError(
                f"recipe {name!r}: there is no such recipe or YAML file{nearest(name, known)}; "
                f"choose one of {', '.join(known)}"
            )
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
        texts = read_as_text(path.read_text(encoding="utf-8"))
    except (*UNREADABLE, OSError) as error:
        raise ConfigError(f"{path}: not a readable recipe: {reason(error)}") from error
    if not isinstance(loaded, dict) or not loaded:
        raise ConfigError(f"{path}: a recipe holds sections, for example 'train:'")
    sections = {str(section): values for section, values in loaded.items()}
    stages, texts_of = sections.pop(STAGES, None) or {}, texts.pop(STAGES, None) or {}
    schema = schema_for(dict(leaves(sections)), [])
    read = with_text(schema, sections, dict(leaves(texts)))
    for name, own in stages.items():
        schema = schema_for(dict(leaves(over(sections, own))), [])
        own_read = with_text(schema, own, dict(leaves(texts_of[name])))
        read.setdefault(STAGES, {})[str(name)] = own_read
    return read


def load_config(recipe: Mapping[str, Any], words: Sequence[str]) -> RunConfig:
    """The options of a recipe and words; of a recipe with stages, those of the last one chosen.

    Raises one `ConfigError` that lists all problems.
    """
    return list(load_configs(recipe, words).values())[-1]


def load_configs(recipe: Mapping[str, Any], words: Sequence[str]) -> dict[str, RunConfig]:
    """The options of all stages that the words choose, in order, by name (`options.stages`).

    A recipe without stages has one, without a name. Raises one `ConfigError` that lists all
    problems.
    """
    found, problems = {}, list[str]()
    for stage in stages_of(recipe, words):
        try:
            found[stage.name] = _load(stage)
        except ConfigError as error:
            problems += str(error).splitlines()
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    return found


def _load(stage: Stage) -> RunConfig:
    problems: list[str] = []
    in_recipe, typed = dict(leaves(stage.recipe)), parse_words(stage.words, problems)
    typed |= stage.places(in_recipe | typed)
    schema = schema_for(in_recipe | typed, problems)
    given = _override(in_recipe, read_words(schema, typed, problems))
    values = grouped(given, known_values(schema))
    _end_schedules(values, values.get("train.images", schema.train.images))
    for key, value in values.items():
        if others := _others_with(schema, key):
            section = key.partition(".")[0]
            problems.append(
                f"{key} = {value!r}: unknown key of {schema[section].name}; as {section}.name, "
                f"{' or '.join(others)} has it. Leave it out, or choose another name"
            )
            continue
        assign(schema, key, value, problems)
    for number, part in enumerate(schema.data.mix):
        OmegaConf.set_readonly(part, None)  # `assign` has added this list after `make_writable`
        make_absolute(schema, f"data.mix[{number}].url", problems)
    for key in LOCATIONS:
        make_absolute(schema, key, problems)
    sections = build_sections(schema, problems)
    if not problems:
        problems += _combinations(sections)
    if problems:
        raise ConfigError("\n".join(problems))
    resolved = OmegaConf.to_container(schema, resolve=True)
    return RunConfig(**sections, resolved=resolved)  # type: ignore[arg-type]  # keys are strings


def _end_schedules(values: Mapping[str, Any], images: Any) -> None:
    """Schedules that leave out `until`, where they need one, end with the training."""
    for value in values.values():
        if isinstance(value, dict):
            _end_schedules(value, images)
            if "until" in NEEDED.get(str(value.get("kind")), ()):
                value.setdefault("until", images)


def _others_with(schema: DictConfig, key: str) -> list[str]:
    """The other methods, or network families, that have an option which the chosen one lacks."""
    section = key.partition(".")[0]
    if section not in CHOICES or key in dict(options_of(schema)):
        return []
    family = CHOICES[section]
    configs = {name: OmegaConf.structured(family.find(name).Config) for name in family.names()}
    return [
        name
        for name, config in configs.items()
        if key in dict(options_of(OmegaConf.create({section: config})))
    ]


def _override(recipe: dict[str, Any], words: dict[str, Any]) -> dict[str, Any]:
    """Words replace the recipe's values; a number of workers replaces a range, and vice versa."""
    size, limits = {"cluster.workers"}, {"cluster.min_workers", "cluster.max_workers"}
    for typed, replaced in ((size, limits), (limits, size)):
        if typed & words.keys() and not replaced & words.keys():
            recipe = {key: value for key, value in recipe.items() if key not in replaced}
    return recipe | words


def schema_for(given: Mapping[str, Any], problems: list[str]) -> DictConfig:
    """The schema of a run; `objective.name` and `network.name` choose two of its sections."""
    chosen: dict[str, type] = {}
    defaults = {"objective": "pvdgan", "network": "conv"}
    for section, family in CHOICES.items():
        name = str(given.get(f"{section}.name", defaults[section]))
        known = family.names()
        if name not in known:
            problems.append(
                f"{section}.name = {name!r}: unknown name{nearest(name, known)}; "
                f"choose {', '.join(known)}"
            )
            name = defaults[section]
        module: ModuleType = family.find(name)
        if section == "objective":
            defaults["network"] = getattr(module, "FAMILY", defaults["network"])
        chosen[section] = module.Config
    return deepcopy(_schema_of(tuple(chosen.items())))


@cache
def _schema_of(chosen: tuple[tuple[str, type], ...]) -> DictConfig:
    """The schema with these dataclasses. Building one takes five times as long as a copy."""
    classes = {**SECTIONS, **dict(chosen)}
    schema = OmegaConf.create({name: OmegaConf.structured(cls) for name, cls in classes.items()})
    make_writable(schema)
    OmegaConf.set_struct(schema, True)
    return schema


def default_options(config: RunConfig) -> dict[str, Any]:
    """The defaults of all sections, for the objective and networks that `config` chooses."""
    chosen = {f"{section}.name": getattr(config, section).name for section in CHOICES}
    defaults = OmegaConf.to_container(schema_for(chosen, []))
    assert isinstance(defaults, dict)
    return {str(section): values for section, values in defaults.items()}


def _combinations(sections: Mapping[str, Any]) -> list[str]:
    """Problems that involve more than one section."""
    problems = []
    train, cluster = sections["train"], sections["cluster"]
    smallest = train.global_batch  # images in a micro-batch
    for workers in cluster.sizes:
        try:
            layout = lay_out_batch(train, workers)
        except ConfigError as error:
            problems.append(str(error))
            break
        smallest = min(smallest, train.global_batch // layout.micro_batches)
    if train.precision == "tf32" and not cluster.use_gpu:
        problems.append(
            "train.precision = 'tf32': only GPUs have it; choose fp32 or bf16, or give "
            "cluster.use_gpu=true"
        )
    module = objectives.find(sections["objective"].name)
    if sections["data"].label is not None:
        problems += _without_labels(sections)
    condition = getattr(sections["objective"], "condition", None)
    if condition and condition.attribute != sections["data"].label:
        problems.append(
            f"objective.condition.classes = {condition.classes}: are those of data.label, which "
            "finds them; give data.label (and data.classes for their order) in place of them"
        )
    try:
        objective = module.Objective(sections["objective"], sections["network"].latent_size)
    except ConfigError as error:
        return [*problems, str(error)]
    try:
        objective.new_state(train.global_batch)
        objective.check_micro_batch(smallest)
    except ConfigError as error:
        problems.append(str(error))
    named = {"train.networks": train.networks, "start.frozen": sections["start"].frozen or ()}
    labelled = sections["data"].label is not None  # the networks of labels come with the classes
    known = [*objective.roles, *(objective.optional_roles if labelled else ())]
    problems += [
        f"{key} = {name!r}: {objective.config.name} has no such network; name some of "
        f"{', '.join(known)}"
        for key, chosen in named.items()
        for name in chosen
        if name not in known
    ]
    start = sections["start"]
    problems += [
        f"start.run = {start.run!r}: {objective.config.name} takes its {role.title}, {name}, from "
        "another run; give start.run, the storage.run of one that trained it, and name it in "
        "start.networks or leave that out"
        for name, role in objective.roles.items()
        if role.started
        and (start.run is None or (start.networks is not None and name not in start.networks))
    ]
    return problems


def _without_labels(sections: Mapping[str, Any]) -> list[str]:
    """Why the method or the networks cannot be trained with `data.label`."""
    label, method, family = sections["data"].label, sections["objective"], sections["network"]
    problems = []
    if not hasattr(method, "condition"):
        able = [n for n in objectives.names() if hasattr(objectives.find(n).Config(), "condition")]
        problems.append(
            f"data.label = {label!r}: the method {method.name} has no conditional form; choose "
            f"objective.name={' or '.join(able)}, or leave data.label out"
        )
    if not getattr(networks.find(family.name), "CONDITIONAL", False):
        able = [n for n in networks.names() if getattr(networks.find(n), "CONDITIONAL", False)]
        problems.append(
            f"data.label = {label!r}: the networks of {family.name} see no labels; choose "
            f"network.name={' or '.join(able)}, or leave data.label out"
        )
    return problems
