"""`ganinv evaluate`: the figures of a checkpoint, with all conditions they depend on."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from cluster.config import ClusterConfig
from cluster.run_folder.evaluation_log import write_record
from cluster.run_folder.metrics_log import finite_or_null
from cluster.storage.opening import open_store
from ganinv.errors import StorageError
from ganinv.training.statistics import statistic_named
from launch.evaluation.in_training import without_held_out
from launch.options.arguments import parse
from launch.options.places import DataPlace, StorageConfig
from launch.options.sections import read_sections
from launch.progress import console
from launch.wiring.evaluate_run import (
    Evaluated,
    EvaluateOptions,
    evaluate_here,
    evaluate_over_workers,
)

EXAMPLES = """\
Features: 'own' are the discriminator's, so their figures compare nothing across checkpoints;
'pixels' are the images, made small; 'lite0' is EfficientNet-Lite0, from an extra package. Only
evaluate.inception, the Inception of 2015 as a TorchScript file, gives figures named FID and KID.
evaluate.further adds figures that take longer: swd_patches is ProGAN's SWD on patches, path_length
the perceptual path length, separability the linear separability of the data's attributes, identity
the distance of faces (extra packages). docs/evaluation.md says what each is and what it costs.
Figures from different numbers of samples are not comparable.

keys:
  evaluate.samples=N          at most N held-out images, and as many generated ones (10000)
  evaluate.seed=N             seed of the generated images and of random draws in metrics (0)
  evaluate.features=[A,B]     some of own, pixels and lite0 ([pixels])
  evaluate.inception=FILE     adds FID, KID, precision and recall on FID's features
  evaluate.further=[A,B]      some of swd_patches, path_length, separability and identity ([])
  evaluate.lpips=FILE         adds LPIPS: weights of torchvision's VGG16 or AlexNet
  evaluate.lpips_heads=FILE   weights of LPIPS' linear heads (in the same file)
  evaluate.checkpoint=NAME    a checkpoint listed by `ganinv checkpoints` (the newest)
  evaluate.record=false       do not write the result to the run's folder evaluations/
  data.url=URL                where the run's data set lies now, if it has moved
  cluster.workers=N           evaluate on N workers; the figures stay the same (this process)

examples:
  ganinv evaluate storage.run=runs/tiny
  ganinv evaluate storage.run=s3://ganinv/runs/a evaluate.features=[own,lite0] --json
  ganinv evaluate storage.run=runs/a evaluate.inception=inception-2015-12-05.pt
  ganinv evaluate storage.run=s3://ganinv/runs/a cluster.workers=4
  ganinv evaluate storage.run=copied/a data.url=copied/faces128
"""
SECTIONS: dict[str, type] = {
    "storage": StorageConfig,
    "data": DataPlace,
    "evaluate": EvaluateOptions,
    "cluster": ClusterConfig,
}
BETTER = {True: "higher", False: "lower", None: ""}


def main(argv: list[str]) -> int:
    arguments = parse(argv, "evaluate", "Evaluate a checkpoint of a run.", EXAMPLES)
    sections = read_sections(arguments.options, SECTIONS)
    storage, place, options, cluster = (sections[name] for name in SECTIONS)
    screen = console(arguments.as_json)
    if cluster == ClusterConfig():
        found = evaluate_here(storage, options, screen, place)
    else:
        found = evaluate_over_workers(storage, options, cluster, screen, place)
    missing = without_held_out(
        found.taken["data.url"], found.conditions["real"] + found.conditions["damaged"]
    )
    if missing is not None:
        screen.print(missing, markup=False, soft_wrap=True)
    if options.record:
        _record(storage, found, screen)
    if arguments.as_json:
        print(json.dumps(found.taken | found.conditions | {"figures": _rows(found)}))
    else:
        _show(screen, found)
    return 0


def _record(storage: StorageConfig, found: Evaluated, screen: Console) -> None:
    store = open_store(storage.run, endpoint_url=storage.endpoint_url)
    try:
        name = write_record(store, found.conditions, found.figures)
    except StorageError as error:  # the figures are still shown: the run may be read-only
        screen.print(f"not recorded: {error}", markup=False, soft_wrap=True)
    else:
        screen.print(f"recorded in {store.url}/{name}", markup=False, soft_wrap=True)


def _rows(found: Evaluated) -> list[dict[str, Any]]:
    """The figures for JSON. JSON has no infinity, so the PSNR of equal images is null."""
    values = finite_or_null(found.figures)
    return [
        {
            "name": name,
            "value": values[name],
            "unit": statistic_named(name).unit,
            "higher_is_better": statistic_named(name).higher_is_better,
            "meaning": statistic_named(name).help,
        }
        for name in found.figures
    ]


def _show(screen: Console, found: Evaluated) -> None:
    facts = Table(box=None, show_header=False)
    for key, value in (found.taken | found.conditions).items():
        if key in ("features", "pairs"):
            for name, network in value.items():
                text = ", ".join(f"{k} {v}" for k, v in network.items() if v is not None)
                facts.add_row(f"features {name}" if key == "features" else name, text)
        elif isinstance(value, list) and value:
            facts.add_row(key, ", ".join(map(str, value)))
        elif value != []:
            facts.add_row(key, f"{value:,}" if isinstance(value, int) else str(value))
    screen.print(facts)
    table = Table(box=None)
    for title in ("figure", "value", "unit", "better"):
        table.add_column(title, no_wrap=True)
    table.add_column("meaning")
    for name, value in found.figures.items():
        row = statistic_named(name)
        table.add_row(name, f"{value:.4g}", row.unit, BETTER[row.higher_is_better], row.help)
    screen.print(table)
