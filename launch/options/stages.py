"""Recipes of methods that train in several runs, one after another.

    stages:
      FIRST: {objective: …, train: …}
      LAST:  {objective: …, train: …}

A stage is a run with the options of the recipe and, over them, its own. The last stage's run lies
in `storage.run`, those of earlier stages in folders of their names below it, and each stage starts
from the run before it (`start.run`) unless the user names another. Words are for all stages;
`stages.NAME.KEY=VALUE` is for one, and `stage=NAME` chooses one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ganinv.errors import ConfigError
from launch.options.words import nearest

STAGES = "stages"
ONE_STAGE = "stage="


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """The recipe and the words of one run; `name` is empty for a recipe without stages."""

    name: str
    recipe: Mapping[str, Any]
    words: tuple[str, ...]
    folder: str = ""  # of its run, below `storage.run`; empty for the last stage
    after: str | None = None  # folder of the run that it starts from, if any

    def places(self, given: Mapping[str, Any]) -> dict[str, str]:
        """`storage.run` and `start.run` of this stage, as far as `given` does not decide them."""
        run = given.get("storage.run")
        if not run:
            return {}
        base, found = str(run).rstrip("/"), {}
        if self.folder:
            found["storage.run"] = f"{base}/{self.folder}"
        if self.after is not None and not given.get("start.run"):
            found["start.run"] = f"{base}/{self.after}"
        return found


def stages_of(recipe: Mapping[str, Any], words: Sequence[str]) -> list[Stage]:
    """The stages that the words choose, in order: all, unless `stage=NAME` is among the words.

    Raises `ConfigError` for a stage that the recipe does not have.
    """
    named: Mapping[str, Mapping[str, Any]] = recipe.get(STAGES) or {}
    common = {section: values for section, values in recipe.items() if section != STAGES}
    chosen = [word.removeprefix(ONE_STAGE) for word in words if word.startswith(ONE_STAGE)]
    rest = [word for word in words if not word.startswith(ONE_STAGE)]
    for name in [*chosen, *(_stage_of(word) for word in rest)]:
        if name is not None and name not in named:
            known = (
                f"choose {' or '.join(named)}" if named else "it trains in one run: leave it out"
            )
            raise ConfigError(
                f"stage = {name!r}: the recipe has no such stage{nearest(name, list(named))}; "
                + known
            )
    if not named:
        return [Stage(name="", recipe=common, words=tuple(rest))]
    order = list(named)
    found = [
        Stage(
            name=name,
            recipe=over(common, named[name]),
            words=tuple(_for_stage(rest, name)),
            folder="" if name == order[-1] else name,
            after=order[number - 1] if number else None,
        )
        for number, name in enumerate(order)
    ]
    return [stage for stage in found if not chosen or stage.name in chosen]


def over(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a stage over the common ones, key by key of every section."""
    return dict(common) | {
        section: {**(common.get(section) or {}), **values} for section, values in own.items()
    }


def _stage_of(word: str) -> str | None:
    """The stage that a word is for; None if it is for all."""
    key = word.partition("=")[0].split(".")
    return key[1] if len(key) > 2 and key[0] == STAGES else None


def _for_stage(words: Sequence[str], name: str) -> list[str]:
    """The words for a stage; those for it alone last, so that they win."""
    common = [word for word in words if _stage_of(word) is None]
    own = [word for word in words if _stage_of(word) == name]
    return common + [word.removeprefix(f"{STAGES}.{name}.") for word in own]
