"""Curves of several runs in one chart: SVG files for documents, and one page of all charts."""

import base64
import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from ganinv.errors import ConfigError
from launch.pages.charts import scale_of
from launch.pages.comparison import Comparison, comparisons, not_comparable
from launch.pages.curves import (
    FEW_POINTS,
    Floats,
    Rows,
    envelope,
    finite_curve,
    number,
    smoothed,
)
from launch.pages.page import fill
from launch.pages.style import SERIES
from launch.pages.svg import COLOURS, frame, new_axes, to_svg_file

SIZE_PX = (540.0, 235.0)
LEGEND_PX = 180.0  # to the right of the axes
TITLE_PX = 36.0
LONGEST_LABEL = 18  # characters that fit into the legend
DASHES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0, ()),
    (0, (5, 1.5)),
    (0, (1.5, 1.2)),
    (0, (5, 1.5, 1.2, 1.5)),
)


def curves_figure(runs: Mapping[str, Rows], name: str) -> str:
    """One evaluation figure over the images seen, one curve for each run, as text of an SVG file.

    `runs`: label → rows of `metrics.jsonl`, at most eight runs; a run without the figure has no
    curve. `name`: the figure's key in the rows, for example `eval/psnr_db_test` or
    `latent/entropy_nats`. A run has the same colour in all figures. Raises `ConfigError` if no run
    has the figure, or if there are more runs than colours.
    """
    if len(runs) > len(SERIES):
        raise ConfigError(
            f"{len(runs)} runs in one chart: there are {len(SERIES)} colours that can be told "
            "apart; compare fewer at a time"
        )
    found = {c.key: c for c in comparisons(runs, {})}
    if name not in found:
        raise ConfigError(
            f"figure {name!r}: none of these runs has it; choose one of {', '.join(found) or '–'}"
        )
    return _svg(runs, found[name])


def compare_page(runs: Mapping[str, str], figures: Sequence[tuple[Comparison, str]]) -> str:
    """A page of all figures (with their SVG) and a table of last values; `runs`: label → URL."""
    return fill(
        "compare.html.j2",
        runs=runs,
        figures=[(figure, embedded(svg)) for figure, svg in figures],
        not_comparable=not_comparable([figure for figure, _ in figures]),
        files=" ".join(svg_name(figure) for figure, _ in figures),
    )


def embedded(svg: str) -> str:
    """An SVG file as a data URL."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def svg_name(figure: Comparison) -> str:
    return f"{figure.name}.svg"


def files_of(page: str) -> list[str] | None:
    """The SVG files that belong to an earlier page; None if the page is no comparison."""
    if found := re.search(r'<meta name="ganinv-files" content="([\w. ]*)">', page):
        return found[1].split()
    return [] if re.search(r"<title>Comparison of \d+ runs</title>", page) else None


def _svg(runs: Mapping[str, Rows], figure: Comparison) -> str:
    curves = {label: finite_curve(rows, figure.key) for label, rows in runs.items()}
    end = max(float(x.max()) for x, _ in curves.values() if x.size)
    scale, scale_name = scale_of(end)
    drawing, axes = new_axes(
        f"images seen{scale_name}", end / scale, size_px=SIZE_PX, margin_px=(LEGEND_PX, TITLE_PX)
    )
    shown = [0.0] if figure.group.from_zero else []
    for i, (label, (x, y)) in enumerate(curves.items()):
        if label in figure.last:
            words = f"{_shortened(label)}\u2002{number(figure.last[label])}"
            shown += _draw_curve(axes, x / scale, y, i, words)
    frame(axes, shown)
    _write_words(axes, figure)
    return to_svg_file(figure.name, drawing, figure.alt)


def _draw_curve(axes: Axes, x: Floats, y: Floats, i: int, words: str) -> tuple[float, float]:
    """The curve of run number `i`; returns its lowest and highest value."""
    raw = envelope(x, y)
    line = smoothed(raw.mean)
    (drawn,) = axes.plot(
        raw.x,
        line,
        color=COLOURS[SERIES[i]],
        linestyle=DASHES[i % len(DASHES)],
        linewidth=1.8,
        marker="o" if y.size <= FEW_POINTS else "",
        markersize=3.5,
    )
    drawn.set_label(words)
    return float(line.min()), float(line.max())


def _write_words(axes: Axes, figure: Comparison) -> None:
    """Title and legend, never read as formulas; the curve with the highest end comes first."""
    remarks = [words for words in (figure.group.unit, figure.group.direction) if words]
    for words, from_top_px, colour in (
        (figure.title, 9, "--ink"),
        (", ".join(remarks), 24, "--muted"),
    ):
        place = 9 / SIZE_PX[0], 1 - from_top_px / SIZE_PX[1]
        text = axes.figure.text(*place, words, va="top", size=10, color=COLOURS[colour])
        text.set_parse_math(False)
    lines = sorted(axes.get_lines(), key=lambda line: -float(np.asarray(line.get_ydata())[-1]))
    legend = axes.legend(
        handles=lines,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.02),
        frameon=False,
        handlelength=2.6,
        labelcolor=COLOURS["--ink"],
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _shortened(label: str) -> str:
    """The beginning and the end of a long label; both distinguish runs."""
    half = LONGEST_LABEL // 2
    return label if len(label) <= LONGEST_LABEL else f"{label[: half - 1]}…{label[-half:]}"
