"""`ganinv report`: one HTML page with pictures and curves of a run."""

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from cluster.run_folder.evaluation_log import read_records
from cluster.run_folder.metrics_log import read_rows
from cluster.storage.opening import open_store
from ganinv.errors import ConfigError
from launch.evaluation.trained import Trained, load_trained
from launch.options.arguments import parse
from launch.options.places import NOT_MOVED, DataPlace, StorageConfig
from launch.options.sections import read_sections
from launch.pages.facts import (
    config_yaml,
    evaluated_on,
    facts,
    first_spectrum,
    headlines,
    spectra_of,
)
from launch.pages.page import Page, render
from launch.pages.pictures import HeldOutPictures, Pictures, held_out_of
from launch.pages.records import with_records
from launch.pages.sections import Section
from launch.progress import console

EXAMPLES = """\
keys:
  report.file=FILE     the file of the page (report.html)
  report.samples=N     generated images (64)
  report.pairs=N       reconstructions of generated and of held-out images, each (16)
  report.rows=N        of interpolations, noise, and the traversal of each element (4)
  data.url=URL         where the run's data set lies now, if it has moved

examples:
  ganinv report storage.run=runs/tiny
  ganinv report storage.run=s3://ganinv/runs/a report.file=pages/a.html
  ganinv report storage.run=copied/a data.url=copied/faces128
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportConfig:
    """The contents of the page, and its file."""

    file: str = "report.html"
    samples: int = 64  # generated images
    pairs: int = 16  # images with their reconstructions, generated and held-out ones
    rows: int = 4  # of interpolations, noise, and the traversal of each element

    def __post_init__(self) -> None:
        for key in ("samples", "pairs", "rows"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be at least 1")


SECTIONS: dict[str, type] = {
    "storage": StorageConfig,
    "data": DataPlace,
    "report": ReportConfig,
}


def main(argv: list[str]) -> int:
    arguments = parse(argv, "report", "Make one self-contained HTML page of a run.", EXAMPLES)
    sections = read_sections(arguments.options, SECTIONS)
    screen = console(arguments.as_json)
    path = write_report(sections["storage"], sections["report"], screen, sections["data"])
    if arguments.as_json:
        print(json.dumps({"file": str(path)}))
    else:
        screen.print(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)", soft_wrap=True)
    return 0


def write_report(
    storage: StorageConfig,
    report: ReportConfig,
    screen: Console,
    place: DataPlace = NOT_MOVED,
) -> Path:
    """Write the page of the newest good checkpoint; returns its path.

    Without its data set a run still has a page, but if `place` names one, it must be the right one:
    `open_data` says what is raised otherwise. Raises `StorageError` if the run has no checkpoint
    that can be loaded.
    """
    store = open_store(storage.run, endpoint_url=storage.endpoint_url)
    trained, records = load_trained(store, data=place), read_records(store)
    rows = with_records(read_rows(store), records)
    pictures = max(report.pairs, 2 * report.rows)
    index, held_out = held_out_of(trained, storage, pictures, required=place.url is not None)
    if held_out.missing:
        screen.print(held_out.missing, markup=False, soft_wrap=True)
    page = Page(
        title=f"{trained.config.objective.name.upper()} after "
        f"{trained.manifest.images_seen:,} images",
        run_url=storage.run,
        facts=facts(trained, rows),
        evaluated_on=evaluated_on(trained, index, records),
        headlines=headlines(trained, rows),
        pictures=_pictures(trained, held_out, report, screen),
        curves=rows,
        plots=trained.objective.plots,
        spectra=spectra_of(trained),
        config_yaml=config_yaml(trained.recorded),
    )
    path = Path(report.file).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(page), encoding="utf-8")
    return path


def _pictures(
    trained: Trained, held_out: HeldOutPictures, report: ReportConfig, screen: Console
) -> tuple[Section, ...]:
    makers = Pictures(
        model=trained.model,
        variance_L=first_spectrum(trained),
        held_out=held_out,
        samples=report.samples,
        pairs=report.pairs,
        rows=report.rows,
    ).makers()
    watched = track(makers, "pictures", console=screen, disable=not screen.is_terminal)
    return tuple(make() for make in watched)
