"""`ganinv sweep`: short trainings over a grid of options, one page of them, and the best."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cluster.workers.capacity import shares
from ganinv.errors import ConfigError
from ganinv.seams.stores import Store
from launch.options.arguments import parse
from launch.options.loading import load_recipe, recipe_names
from launch.options.sections import read_sections
from launch.pages.sweep import render_sweep
from launch.progress import console
from launch.sweeping.checking import Planned, check, folder_of, planned, retrying
from launch.sweeping.ending import result_of
from launch.sweeping.findings import Findings, findings
from launch.sweeping.grid import Grid, grid_of
from launch.sweeping.judging import judge_named
from launch.sweeping.paging import page_of
from launch.sweeping.room import how_many
from launch.sweeping.running import Ended, Job, run_jobs, training_command
from launch.sweeping.watching import Watch

STOPPED = 130
PAGE, RESULTS, OUTPUT = "index.html", "sweep.json", "output"
EXAMPLES = """\
recipes: {recipes}

keys, beside those of `ganinv train`:
  KEY=A,B,C               an option with several values: every combination is trained
  KEY,KEY=A,B,C           options that have the same value in every training
  storage.run=PLACE       the folder of the sweep; each training is a run in a folder below it
  sweep.judge=FIGURE      an evaluation figure (psnr_db_test); its metric says which way is better
  sweep.side_by_side=N    trainings at the same time; else as many as have room
  sweep.limit=N           trainings, at most (16)
  sweep.pictures=N        generated images of each training on the page, and reconstructions (8)

examples:
  ganinv sweep avatars32-pvdgan data.url=runs/avatars32 storage.run=runs/gamma \\
      objective.lambda_r1=1,4,16 train.images=20_000
  ganinv sweep avatars32-pvdgan data.url=… storage.run=s3://bucket/sweeps/rates \\
      train.learning_rate=0.002,0.006 train.seed=0,1,2 sweep.judge=fd_pixels
  ganinv sweep avatars32-pvdgan … objective.lambda_r1=1,4 --table       the grid alone

A comma inside of brackets, braces or quotes, or in a text option, separates nothing. Trainings
that differ in train.seed alone are averaged. The same command goes on with a sweep that was
stopped: trainings that have ended are not repeated, others resume. Results: PLACE/index.html and
PLACE/sweep.json. On a cluster (RAY_ADDRESS), each training is a job of its own.
"""
SWITCHES = {"--table": "print the grid, and train nothing"}


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepConfig:
    """How trainings are compared, and how many run."""

    judge: str = "psnr_db_test"  # an evaluation figure, as in metrics.jsonl, without eval/
    side_by_side: int | None = None  # trainings at the same time; None: as many as have room
    limit: int = 16  # trainings, at most
    pictures: int = 8  # on the page, of each training

    def __post_init__(self) -> None:
        for key in ("side_by_side", "limit", "pictures"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"{key} = {value}: must be at least 1")


# Beside the sections of a run.
SECTIONS: dict[str, type] = {"sweep": SweepConfig}


def main(argv: list[str]) -> int:
    arguments = parse(
        argv,
        "sweep",
        "Train every combination of several values of options, and compare the results.",
        EXAMPLES.format(recipes=", ".join(recipe_names())),
        "RECIPE",
        SWITCHES,
    )
    own = tuple(word for word in arguments.options if word.startswith("sweep."))
    options = tuple(word for word in arguments.options if word not in own)
    sweep: SweepConfig = read_sections(own, SECTIONS)["sweep"]
    recipe = load_recipe(arguments.names[0])
    grid = grid_of(recipe, options, sweep.limit)
    place, trainings = planned(recipe, grid)
    judge = judge_named(sweep.judge, place.evaluate)
    out = console(arguments.as_json)
    show_grid(grid, trainings, out)
    if "--table" in arguments.switches:
        return 0
    done = check(trainings, place, judge, out)
    store = retrying(place.storage.run, place)
    to_train = [one for one in trainings if one.training.name not in done]
    ended = train_all(arguments.names[0], to_train, sweep, store, out) if to_train else {}
    if ended is None:
        out.print("stopped; the same command goes on with the sweep")
        return STOPPED
    results = [(one, result_of(one, ended.get(one.training.name))) for one in trainings]
    found = findings(arguments.names[0], grid.fixed, folder_of(place), judge, results, grid.names)
    write(found, trainings, sweep, store, out)
    if arguments.as_json:
        print(json.dumps(found.as_json(), ensure_ascii=False))
    return 0 if found.best else 1


def show_grid(grid: Grid, trainings: Sequence[Planned], out: Console) -> None:
    table = Table(title=f"{len(trainings)} trainings", title_justify="left", box=None)
    for key in grid.names.values():
        table.add_column(escape(key), justify="right")
    table.add_column("images", justify="right")
    table.add_column("folder", overflow="fold")
    for one in trainings:
        images = f"{one.config.train.images:,}"
        cells = [escape(value) for value in one.training.values.values()]
        table.add_row(*cells, images, escape(one.training.name))
    out.print(table)


def train_all(
    recipe: str, trainings: Sequence[Planned], sweep: SweepConfig, store: Store, out: Console
) -> dict[str, Ended] | None:
    """How each training's command ended, by name; None if a signal stopped the sweep."""
    at_once = how_many(trainings, sweep.side_by_side)
    clusters = [one.config.cluster for one in trainings]
    largest = max(clusters, key=lambda cluster: cluster.sizes[-1])
    how = "one after the other" if at_once == 1 else f"{at_once} side by side"
    out.print(f"{len(trainings)} to train, {how}")
    found: dict[str, Ended] = {}
    by_name = {one.training.name: one for one in trainings}
    with Watch(trainings, out) as watch:

        def keep(job: Job, ended: Ended) -> None:
            found[job.name] = ended
            store.write(f"{OUTPUT}/{job.name}.txt", ended.output.encode())
            watch.ended(job.name, result_of(by_name[job.name], ended))

        finished = run_jobs(
            [Job(one.training.name, training_command(recipe, one.words)) for one in trainings],
            shares(largest, at_once),
            started=lambda job: watch.started(job.name),
            progressed=lambda job, progress: watch.progressed(job.name, progress),
            ended=keep,
        )
    return found if finished else None


def write(
    found: Findings, trainings: Sequence[Planned], sweep: SweepConfig, store: Store, out: Console
) -> None:
    """The results and the page, and where they are."""
    results = json.dumps(found.as_json(), ensure_ascii=False, indent=1) + "\n"
    store.write(RESULTS, results.encode())
    page = page_of(found, trainings, sweep.pictures, out)
    store.write(PAGE, render_sweep(page).encode())
    out.print(f"page: {store.url}/{PAGE}, results: {store.url}/{RESULTS}", soft_wrap=True)
    out.print(found.conclusion, markup=False, soft_wrap=True)
    if found.command:
        out.print(f"train it in full: {found.command}", markup=False, soft_wrap=True)
