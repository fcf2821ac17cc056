"""`ganinv compare`: draws the curves of several runs in the same charts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from cluster.run_folder.evaluation_log import read_records
from cluster.run_folder.metrics_log import read_rows
from cluster.storage.opening import open_store
from ganinv.errors import ConfigError, StorageError
from launch.options.arguments import parse
from launch.options.places import EndpointConfig
from launch.options.run_labels import labelled
from launch.options.sections import read_sections
from launch.pages.compare import compare_page, curves_figure, files_of, svg_name
from launch.pages.comparison import Comparison, comparisons, not_comparable
from launch.pages.curves import Rows, number
from launch.pages.records import EvaluationRecord
from launch.progress import console

EXAMPLES = """\
Writes FOLDER/index.html, and one SVG file for each evaluation figure that at least one of the runs
has. A RUN is a directory, file:// or s3://; charts label a run with the end of its URL. The best of
the last values is bold, unless the evaluations differ in images seen, resolution, data set, numbers
of images, seed, weights or feature network; then the conditions that differ are listed.

keys:
  compare.folder=FOLDER     the folder of the page and the SVG files (comparison)
  storage.endpoint_url=URL  the S3 server, if not AWS

examples:
  ganinv compare runs/dlsgan runs/pvdgan
  ganinv compare s3://ganinv/runs/a s3://ganinv/runs/b compare.folder=docs/a-and-b
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareConfig:
    """The folder that receives the comparison."""

    folder: str = "comparison"


SECTIONS: dict[str, type] = {"storage": EndpointConfig, "compare": CompareConfig}


def main(argv: list[str]) -> int:
    arguments = parse(
        argv, "compare", "Draw the curves of several runs in the same charts.", EXAMPLES, "RUN…"
    )
    sections = read_sections(arguments.options, SECTIONS)
    folder = Path(sections["compare"].folder).absolute()
    old = _old_files(folder)
    urls = labelled(arguments.names)
    rows, records = _read(urls, sections["storage"].endpoint_url)
    screen = console(arguments.as_json)
    figures = comparisons(rows, records)
    drawn = [
        (figure, curves_figure(rows, figure.key))
        for figure in track(figures, "figures", console=screen, disable=not screen.is_terminal)
    ]
    texts = {svg_name(figure): svg for figure, svg in drawn}
    _write(folder, {"index.html": compare_page(urls, drawn), **texts}, old)
    if arguments.as_json:
        files = [str(folder / name) for name in ("index.html", *texts)]
        print(json.dumps({"files": files, "figures": [_plain(figure) for figure in figures]}))
    else:
        _show(screen, list(urls), figures)
        page = folder / "index.html"
        screen.print(f"comparison: {page} and {len(drawn)} SVG files", soft_wrap=True)
    return 0


def _old_files(folder: Path) -> list[str]:
    """The SVG files of an earlier comparison. Raises `ConfigError` if another program's page lies
    there.
    """
    page = folder / "index.html"
    if not page.exists():
        return []
    found = files_of(page.read_text(encoding="utf-8", errors="replace"))
    if found is None:
        raise ConfigError(
            f"compare.folder = {folder}: holds an index.html that is no comparison; choose another "
            "folder"
        )
    return found


def _write(folder: Path, texts: Mapping[str, str], old: Sequence[str]) -> None:
    """Write a comparison, and remove the charts of an earlier one that it does not have."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in set(old) - texts.keys():
        (folder / name).unlink(missing_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _show(screen: Console, labels: Sequence[str], figures: Sequence[Comparison]) -> None:
    table = Table(box=None)
    for title in ("last value", *labels):
        table.add_column(Text(title), justify="left" if title == "last value" else "right")
    for figure in figures:
        cells = (
            Text(
                number(figure.last[label]) if label in figure.last else "–",
                style="bold" if label in figure.best else "",
            )
            for label in labels
        )
        table.add_row(Text(figure.title), *cells)
    screen.print(table)
    for reasons, titles in not_comparable(figures).items():
        line = f"not comparable: {'; '.join(titles)}. Differing or unknown: {reasons}"
        screen.print(line, markup=False, soft_wrap=True)


def _plain(figure: Comparison) -> dict[str, Any]:
    return {
        "name": figure.key,
        "last": dict(figure.last),
        "best": sorted(figure.best),
        "differs": list(figure.differs),
    }


def _read(
    urls: Mapping[str, str], endpoint_url: str | None
) -> tuple[dict[str, Rows], dict[str, list[EvaluationRecord]]]:
    """The metrics and the recorded evaluations of each run.

    Raises `StorageError` for a run without metrics: its name is probably mistyped.
    """
    rows: dict[str, Rows] = {}
    records: dict[str, list[EvaluationRecord]] = {}
    for label, url in urls.items():
        store = open_store(url, endpoint_url=endpoint_url)
        rows[label] = read_rows(store)
        if not rows[label]:
            raise StorageError(
                f"{url} holds no metrics.jsonl, or an empty one; check the name, or leave the run "
                "out until it has logged something"
            )
        records[label] = [*read_records(store)]
    return rows, records
