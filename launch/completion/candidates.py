"""Which words complete a command line. Pure functions, and light: a shell waits for the answer."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from launch.verbs import SUB_VERBS, VERBS

Keys = Mapping[str, Sequence[str]]  # key of an option → its values where its type lists them
WITH_RUN_OPTIONS = ("train", "submit", "sweep", "profile", "demo")


@dataclass(frozen=True, kw_only=True, slots=True)
class Offers:
    """What commands accept. `commands` are verbs, or a verb and its sub-verb: `data build`."""

    options: Mapping[str, Keys] = field(default_factory=dict)  # by command
    switches: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by command
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by command: first word
    # Sections of a run's options that depend on a name: section → name → options.
    choices: Mapping[str, Mapping[str, Keys]] = field(default_factory=dict)
    # The names that a recipe chooses: recipe → section → name; "" stands for no recipe.
    chosen: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def split(line: str) -> list[str]:
    """The words of a command line up to the cursor; the last word is the one to complete."""
    try:
        words = shlex.split(line)
    except ValueError:  # a quotation that is not closed yet
        words = line.split()
    return [*words, ""] if not line or line[-1].isspace() else words


def needs_offers(words: Sequence[str]) -> bool:
    """Whether completing `words` takes more than the lists of verbs."""
    return len(words) > 1 and words[0] in VERBS and _command(words) is not None


def candidates(words: Sequence[str], offers: Offers) -> list[str]:
    """The words that may stand in the place of the last one, and begin as it does."""
    *before, current = words
    if not before:
        found = [*VERBS, "--help"]
    elif len(before) == 1 and before[0] in SUB_VERBS:
        found = [*SUB_VERBS[before[0]], "--help"]
        if before[0] in WITH_RUN_OPTIONS:
            found += _arguments(before, current, offers)
    else:
        found = _arguments(before, current, offers)
    return [word for word in found if word.startswith(current)]


def _command(words: Sequence[str]) -> str | None:
    """The verb, or the verb and the sub-verb; None where a sub-verb must still come."""
    if words[0] not in SUB_VERBS or words[0] in WITH_RUN_OPTIONS:
        return words[0]
    return " ".join(words[:2]) if len(words) > 2 and words[1] in SUB_VERBS[words[0]] else None


def _arguments(before: Sequence[str], current: str, offers: Offers) -> list[str]:
    command = _command([*before, current])
    if command is None:
        return []
    given = before[len(command.split()) :]
    names = [word for word in given if "=" not in word and not word.startswith("-")]
    typed = dict(word.split("=", 1) for word in given if "=" in word)
    options = dict(offers.options.get(command, {}))
    if command in WITH_RUN_OPTIONS:
        options |= _chosen_options(names[0] if names else "", typed, offers)
    if "=" in current:
        key = current.partition("=")[0]
        return [f"{key}={value}" for value in options.get(key, ())]
    keys = [f"{key}=" for key in options if key not in typed]
    switches = [switch for switch in offers.switches.get(command, ()) if switch not in given]
    return [*(() if names else offers.names.get(command, ())), *keys, *switches]


def _chosen_options(
    recipe: str, typed: Mapping[str, str], offers: Offers
) -> dict[str, Sequence[str]]:
    """The options of the objective and the network that this command line chooses."""
    chosen = offers.chosen.get(recipe, offers.chosen.get("", {}))
    found: dict[str, Sequence[str]] = {}
    for section, families in offers.choices.items():
        name = typed.get(f"{section}.name", chosen.get(section, ""))
        found |= families.get(name, {f"{section}.name": list(families)})
    return found
