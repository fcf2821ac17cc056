"""Curves of a claim's cases: the mean of all seeds, and every seed as a thin line."""

from collections.abc import Mapping, Sequence

from benchmarks.claims.claim import Row
from launch.pages.style import SERIES
from launch.pages.svg import COLOURS, frame, new_axes, to_svg_file

SIZE_PX = (540.0, 235.0)
LEGEND_PX = 120.0  # to the right of the axes


def chart(
    name: str, title: str, figure: str, runs: Mapping[str, Sequence[Sequence[Row]]], over: str
) -> str:
    """The text of an SVG file: `figure` over images or steps. `runs`: case → rows of each seed."""
    end = max(row[over] for by in runs.values() for rows in by for row in rows)
    drawn, axes = new_axes(over, end, size_px=SIZE_PX, margin_px=(LEGEND_PX, 0))
    shown: list[float] = []
    for number, (case, by) in enumerate(runs.items()):
        colour = COLOURS[SERIES[number]]
        counted = [row[over] for row in by[0]]
        curves = [[float(row[figure]) for row in rows] for rows in by]
        mean = [sum(values) / len(values) for values in zip(*curves, strict=True)]
        for curve in curves:
            axes.plot(counted, curve, color=colour, linewidth=0.7, alpha=0.5)
        axes.plot(counted, mean, color=colour, linewidth=2, label=case)
        shown += [value for curve in curves for value in curve]
    frame(axes, shown)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.05), frameon=False)
    return to_svg_file(name, drawn, title)
