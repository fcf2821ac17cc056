"""`ganinv suggest`: γ, batch, rate, widths, length and hours for a data set, and a recipe."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cluster.storage.opening import open_store
from datasets.shards.index import Index
from ganinv import networks, objectives
from ganinv.errors import ConfigError
from ganinv.networks.base import coarsest_grid
from ganinv.sizes import size_of
from launch.options.arguments import parse, this_command
from launch.options.loading import schema_for
from launch.options.places import DataPlace, EndpointConfig
from launch.options.schema import RunConfig
from launch.options.sections import read_sections
from launch.progress import console
from launch.suggesting.duration import Hours, hours
from launch.suggesting.plan import Plan, plan
from launch.suggesting.recipe import as_tree, as_yaml, checked, described, legend
from launch.suggesting.task import Device, Goal, Task
from launch.suggesting.trying import words_to_try
from launch.wiring.networks import new_objective

EXAMPLES = """\
keys:
  data.url=PLACE              the data set: its images and their size
  suggest.images=N suggest.resolution=R    in place of it
  suggest.method=NAME suggest.family=NAME  method and networks; pvdgan and conv, unless named
  suggest.gpu=a100 suggest.gpus=8          the machine; suggest.gpu=cpu counts processor cores
  suggest.goal=quick|good|best             how many images to see
  suggest.to=FILE.yaml        write a recipe for `ganinv train`; suggest.overwrite=true replaces it

examples:
  ganinv suggest data.url=s3://my-bucket/photos256 suggest.gpus=8
  ganinv suggest suggest.images=3000 suggest.resolution=512 suggest.gpu=rtx4090 suggest.gpus=1
  ganinv suggest data.url=data/faces suggest.gpu=cpu suggest.gpus=2 suggest.to=faces.yaml
  ganinv train faces.yaml storage.run=runs/faces

Every value comes with its reason and its source: published rules, or recipes that were trained
here. They are where to begin, and no promise. Nothing is trained or started.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class SuggestConfig:
    """What to suggest for, and where to write it."""

    images: int | None = None  # to train with, without data.url
    resolution: int | str | None = None  # pixels a side, or WIDTHxHEIGHT, without data.url
    method: str = "pvdgan"  # objective.name
    family: str | None = None  # network.name; None: the method's
    gpu: Device = "a100"  # cpu: none
    gpus: int = 1  # how many; for cpu, how many cores
    goal: Goal = "good"  # how many images to see
    to: str | None = None  # a file for the recipe, .yaml or .yml
    overwrite: bool = False  # replace it if it exists

    def __post_init__(self) -> None:
        for key in ("images", "gpus"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"{key} = {value}: must be at least 1")
        if self.to is not None and Path(self.to).suffix not in (".yaml", ".yml"):
            raise ConfigError(
                f"to = {self.to!r}: ganinv train takes files that end with .yaml; name it so"
            )
        if self.method not in objectives.names():
            raise ConfigError(
                f"method = {self.method!r}: unknown name; choose {', '.join(objectives.names())}"
            )
        if self.family is not None and self.family not in networks.names():
            raise ConfigError(
                f"family = {self.family!r}: unknown name; choose {', '.join(networks.names())}"
            )


SECTIONS: dict[str, type] = {
    "data": DataPlace,
    "storage": EndpointConfig,
    "suggest": SuggestConfig,
}


def main(argv: list[str]) -> int:
    arguments = parse(argv, "suggest", "Suggest options for a data set.", EXAMPLES)
    sections = read_sections(arguments.options, SECTIONS)
    options: SuggestConfig = sections["suggest"]
    data, endpoint = sections["data"], sections["storage"].endpoint_url
    check_file(options)
    task = task_of(options, data, endpoint)
    suggested = plan(task)
    places = {"data.url": data.url, "storage.endpoint_url": endpoint}
    places = {key: value for key, value in places.items() if value is not None}
    places["data.resolution"] = task.size.resolution
    configs = checked(suggested, places)
    took = {name: hours(task, config, new_objective(config)) for name, config in configs.items()}
    out = console(arguments.as_json)
    show(suggested, configs, took, out)
    if options.to is not None:
        write(options, as_yaml(suggested, places))
        command = f"{this_command()} train {options.to} storage.run=…"
        command += "" if data.url is not None else " data.url=…"
        out.print(f"wrote {options.to}; train with: {command}", markup=False, soft_wrap=True)
    if words := words_to_try(suggested):
        where = [options.to or "RECIPE.yaml", *([] if data.url else ["data.url=…"])]
        command = " ".join([this_command(), "sweep", *where, "storage.run=…", *words])
        out.print(f"compare γ in short trainings: {command}", markup=False, soft_wrap=True)
    if arguments.as_json:
        print(json.dumps(as_json(suggested, took, places), ensure_ascii=False))
    return 0


def check_file(options: SuggestConfig) -> None:
    """Raises `ConfigError` if the recipe cannot be written, before anything is read."""
    if options.to is None:
        return
    path = Path(options.to)
    if not path.parent.is_dir():
        raise ConfigError(
            f"suggest.to = {options.to!r}: its folder does not exist; name a file in one that does"
        )
    if path.exists() and not options.overwrite:
        raise ConfigError(
            f"suggest.to = {options.to!r}: exists already; choose another file, or give "
            "suggest.overwrite=true"
        )


def task_of(options: SuggestConfig, data: DataPlace, endpoint_url: str | None) -> Task:
    """Raises `ConfigError` if the data is not named, named twice or of an impossible size, and
    `DataError` if its index cannot be read.
    """
    given = options.images is not None or options.resolution is not None
    if data.url is not None:
        if given:
            raise ConfigError(
                f"data.url = {data.url!r}: says how many images there are and their size; leave "
                "out suggest.images and suggest.resolution"
            )
        index = Index.load(open_store(data.url, endpoint_url=endpoint_url))
        images, test, size = index.samples("train"), index.samples("test"), index.size
        if not images:
            raise ConfigError(f"data.url = {data.url!r}: holds no training images; choose another")
    else:
        if options.images is None or options.resolution is None:
            raise ConfigError(
                "data.url: not given; name a data set, or give suggest.images and "
                "suggest.resolution"
            )
        images, size = options.images, size_of(options.resolution)
        test = 10_000
    coarsest_grid(size.resolution)
    method = options.method
    return Task(
        images=images,
        test_images=test,
        size=size,
        method=method,
        family=options.family or str(schema_for({"objective.name": method}, []).network.name),
        device=options.gpu,
        count=options.gpus,
        goal=options.goal,
    )


def write(options: SuggestConfig, text: str) -> None:
    """Write the recipe at once. Raises `StorageExistsError` if another writer was first."""
    path = Path(str(options.to))
    folder = open_store(str(path.parent))
    if options.overwrite:
        folder.write(path.name, text.encode())
    else:
        folder.write_if_absent(path.name, text.encode())


def show(
    suggested: Plan, configs: Mapping[str, RunConfig], took: Mapping[str, Hours], out: Console
) -> None:
    out.print(f"for {described(suggested.task)}:", markup=False, soft_wrap=True)
    for stage in suggested.stages:
        table = Table(title=stage and f"stage {stage}")
        for column in ("value", "why", "source"):
            table.add_column(column, overflow="fold")
        for row in suggested.options(stage):
            value = json.dumps(row.value, ensure_ascii=False).replace('"', "")
            table.add_row(escape(f"{row.key}={value}"), escape(row.why), row.source)
        out.print(table)
        out.print(_time(took[stage], configs[stage].train.images), markup=False, soft_wrap=True)
    for note in (*suggested.notes, *legend(suggested), *about_hours(suggested.task)):
        out.print(f"- {note}", markup=False, soft_wrap=True)


def about_hours(task: Task) -> list[str]:
    if task.on_cpu:
        found = "Hours: scaled by FLOP from steps measured on one machine here (docs/results/)"
    else:
        found = "Hours: scaled by FLOP and by memory bandwidth from StyleGAN2 on A100 (StyleGAN3); "
        found += "no GPU has measured this project"
    return [f"{found}; without evaluations."]


def _time(took: Hours, images: int) -> str:
    per_thousand = took.estimate * 3600 / (images / 1000)
    return (
        f"about {took.estimate:.3g} hours, between {took.least:.2g} and {took.most:.2g} "
        f"({per_thousand:.3g} s per 1,000 images)"
    )


def as_json(
    suggested: Plan, took: Mapping[str, Hours], places: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "for": described(suggested.task),
        "recipe": as_tree(suggested, places),
        "reasons": {
            stage: [row._asdict() for row in suggested.options(stage)] for stage in suggested.stages
        },
        "hours": {stage: asdict(found) for stage, found in took.items()},
        "notes": suggested.notes,
        "sweep": words_to_try(suggested),
    }
