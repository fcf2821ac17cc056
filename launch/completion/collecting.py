"""What the commands accept, taken from the commands themselves. Imports all of them: seconds."""

import importlib
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from datasets.sources.find import source_names
from launch.completion.candidates import WITH_RUN_OPTIONS, Offers
from launch.options.data import SECTIONS as DATA_SECTIONS
from launch.options.data import EndpointOptions
from launch.options.loading import load_recipe, recipe_names, schema_for
from launch.options.schema import CHOICES
from launch.options.stages import stages_of
from launch.options.words import known_values, leaves
from launch.verbs import SUB_VERBS, VERBS, module_of

Keys = dict[str, tuple[str, ...]]
SWITCHES = ("--json", "--help")  # of every command


def collect() -> Offers:
    """The options, switches and first words of every command.

    A module of `launch.commands` declares its options as `SECTIONS` and its switches as `SWITCHES`.
    """
    options: dict[str, Keys] = {}
    switches: dict[str, tuple[str, ...]] = {}
    for verb in VERBS:
        module = importlib.import_module(module_of(verb))
        of_verb = _keys(getattr(module, "SECTIONS", {}))
        if verb in WITH_RUN_OPTIONS:
            of_verb = _run_keys() | of_verb
        plain = verb in WITH_RUN_OPTIONS or verb not in SUB_VERBS
        for command in [verb] if plain else [f"{verb} {sub}" for sub in SUB_VERBS[verb]]:
            options[command] = of_verb
            switches[command] = (*getattr(module, "SWITCHES", ()), *SWITCHES)
    for sub, section in DATA_SECTIONS.items():
        options[f"data {sub}"] = _keys({"data": section, "storage": EndpointOptions})
    return Offers(
        options=options,
        switches=switches,
        names={verb: recipe_names() for verb in ("train", "submit", "sweep", "profile")}
        | {"data build": source_names()},
        choices={
            section: {name: _keys_of_choice(section, name) for name in family.names()}
            for section, family in CHOICES.items()
        },
        chosen={"": _chosen({})} | {name: _chosen(load_recipe(name)) for name in recipe_names()},
    )


def _keys(sections: Mapping[str, type]) -> Keys:
    return known_values(OmegaConf.create({k: OmegaConf.structured(v) for k, v in sections.items()}))


def _run_keys() -> Keys:
    """The keys of a run that do not depend on a choice."""
    known = known_values(schema_for({}, []))
    return {k: v for k, v in known.items() if k.partition(".")[0] not in CHOICES}


def _keys_of_choice(section: str, name: str) -> Keys:
    known = known_values(schema_for({f"{section}.name": name}, []))
    of_section = {k: v for k, v in known.items() if k.partition(".")[0] == section}
    return of_section | {f"{section}.name": tuple(CHOICES[section].names())}


def _chosen(recipe: Mapping[str, Any]) -> dict[str, str]:
    """The names that a recipe, or the defaults, choose for the sections in `CHOICES`."""
    schema = schema_for(dict(leaves(stages_of(recipe, [])[-1].recipe)), [])
    return {section: str(schema[section].name) for section in CHOICES}
