"""`ganinv compare`: draws the curves of several runs in the same charts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from cluster.run_folder.metrics_log import read_rows
from cluster.storage.opening import open_store
from ganinv.errors import ConfigError, StorageError
from launch.options.arguments import parse
from launch.options.loading import read_sections
from launch.pages.compare import compare_page, comparisons, curves_figure
from launch.pages.curves import Rows
from launch.progress import console

EXAMPLES = """\
Writes FOLDER/index.html, and one SVG file for each evaluation figure that at least one of the runs
has. A RUN is a directory, file:// or s3://; charts label a run with the end of its URL.

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


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointConfig:
    """The S3 server of the runs."""

    endpoint_url: str | None = None  # None: AWS; credentials never go here


SECTIONS: dict[str, type] = {"storage": EndpointConfig, "compare": CompareConfig}


def main(argv: list[str]) -> int:
    arguments = parse(
        argv, "compare", "Draw the curves of several runs in the same charts.", EXAMPLES, "RUN…"
    )
    sections = read_sections(arguments.options, SECTIONS)
    urls = labelled(arguments.names)
    rows = _rows_of(urls, sections["storage"].endpoint_url)
    screen = console(arguments.as_json)
    figures = track(comparisons(rows), "figures", console=screen, disable=not screen.is_terminal)
    drawn = [(figure, curves_figure(rows, figure.key)) for figure in figures]
    folder = Path(sections["compare"].folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "index.html", *(folder / f"{figure.name}.svg" for figure, _ in drawn)]
    texts = [compare_page(urls, drawn), *(svg for _, svg in drawn)]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text, encoding="utf-8")
    if arguments.as_json:
        print(json.dumps({"files": [str(file) for file in files]}))
    else:
        screen.print(f"comparison: {files[0]} and {len(drawn)} SVG files", soft_wrap=True)
    return 0


def labelled(urls: Sequence[str]) -> dict[str, str]:
    """Labels the runs: the shortest end of a URL that no other run shares → URL.

    Raises `ConfigError` if a run is named twice.
    """
    parts = [url.rstrip("/").split("/") for url in urls]
    for i, own in enumerate(parts):
        if own in parts[:i]:
            raise ConfigError(f"{urls[i]} is named twice; name every run once")
    labels = []
    for own in parts:
        others = [other for other in parts if other is not own]
        length = 1
        while any(other[-length:] == own[-length:] for other in others):
            length += 1
        labels.append("/".join(own[-length:]))
    return dict(zip(labels, urls, strict=True))


def _rows_of(urls: dict[str, str], endpoint_url: str | None) -> dict[str, Rows]:
    """Raises `StorageError` for a run without metrics: its name is probably mistyped."""
    rows: dict[str, Rows] = {}
    for label, url in urls.items():
        rows[label] = read_rows(open_store(url, endpoint_url=endpoint_url))
        if not rows[label]:
            raise StorageError(
                f"{url} holds no metrics.jsonl, or an empty one; check the name, or leave the run "
                "out until it has logged something"
            )
    return rows
