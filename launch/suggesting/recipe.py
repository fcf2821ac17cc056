"""A plan as a recipe: YAML with the reason and the source of every option beside it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from launch.options.loading import load_configs
from launch.options.schema import RunConfig
from launch.options.stages import STAGES
from launch.suggesting.plan import Plan
from launch.suggesting.published import PLACES
from launch.suggesting.task import Advice, Task

Tree = dict[str, Any]  # sections within sections; the leaves are `Advice`
INDENT = "  "


def as_yaml(plan: Plan, places: Mapping[str, Any]) -> str:
    """The text of a recipe. `places`: further options by dotted key, such as `data.url`."""
    said = [f"Suggested for {described(plan.task)}.", *plan.notes, *legend(plan)]
    lines = [f"# {line}" for line in said]
    return "\n".join([*lines, *_lines(_tree(plan, places))]) + "\n"


def legend(plan: Plan) -> list[str]:
    """Where to read the sources that the plan names."""
    named = {row.source for stage in plan.stages for row in plan.options(stage)}
    return [f"{source}: {place}" for source, place in PLACES.items() if source in named]


def described(task: Task) -> str:
    machine = "processor cores" if task.on_cpu else f"× {task.device}"
    goal = f"suggest.goal={task.goal}"
    return (
        f"{task.images:,} images of {task.size.resolution} pixels, {task.method} on {task.family} "
        f"networks, {task.count} {machine}, {goal}"
    )


def as_tree(plan: Plan, places: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe as `load_recipe` returns it."""

    def plain(tree: Any) -> Any:
        if isinstance(tree, Advice):
            return tree.value
        return {key: plain(inner) for key, inner in tree.items()}

    found: dict[str, Any] = plain(_tree(plan, places))
    return found


def checked(plan: Plan, places: Mapping[str, Any]) -> dict[str, RunConfig]:
    """The options of every stage, as `ganinv train` reads them.

    Raises `ConfigError` if they do not fit together.
    """
    words = () if "data.url" in places else ("data.url=none",)
    return load_configs(as_tree(plan, places), ["storage.run=none", *words])


def _tree(plan: Plan, places: Mapping[str, Any]) -> Tree:
    given = [Advice(key, value, "", "") for key, value in places.items()]
    tree: Tree = {}
    if list(plan.stages) == [""]:
        _put(tree, [*given, *plan.options("")])
        return tree
    # What stages say themselves is left out of the common options.
    own = {row.key for rows in plan.stages.values() for row in rows}
    shared = [row for row in plan.common if row.key not in own]
    _put(tree, [*given, *shared])
    tree[STAGES] = {}
    for name, rows in plan.stages.items():
        tree[STAGES][name] = {}
        said = {row.key for row in rows}
        _put(tree[STAGES][name], [*(r for r in plan.common if r.key in own - said), *rows])
    return tree


def _put(tree: Tree, rows: Sequence[Advice]) -> None:
    for row in rows:
        *sections, key = row.key.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place.pop(key, None)  # the last one stands where it was given
        place[key] = row


def _lines(tree: Tree, depth: int = 0) -> Iterator[str]:
    for key, inner in tree.items():
        if isinstance(inner, Advice):
            reason = ": ".join(filter(None, (inner.source, inner.why)))
            yield f"{INDENT * depth}{key}: {_scalar(inner.value)}" + (reason and f"  # {reason}")
        else:
            yield f"{INDENT * depth}{key}:"
            yield from _lines(inner, depth + 1)


def _scalar(value: Any) -> str:
    text = yaml.safe_dump(
        value, default_flow_style=True, width=1_000, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")
