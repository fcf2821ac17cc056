"""Axes in the style of the result page, and their SVG for the inside of an HTML page.

Colours become the page's custom properties and fonts are inherited, so that one drawing serves the
light and the dark style.
"""

import io
import re
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Matplotlib draws with these colours; the SVG then names the custom properties of the page's style.
COLOURS = {
    "--series-1": "#0072b2",
    "--series-2": "#d55e00",
    "--chart-grid": "#e3e2dd",
    "--chart-text": "#5d6168",
    "--chart-mark": "#1c1d1f",
}
SERIES = ("--series-1", "--series-2")
STYLE = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.labelcolor": COLOURS["--chart-text"],
    "axes.edgecolor": COLOURS["--chart-grid"],
    "axes.facecolor": "none",
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "grid.color": COLOURS["--chart-grid"],
    "grid.linewidth": 0.8,
    "xtick.color": COLOURS["--chart-grid"],
    "xtick.labelcolor": COLOURS["--chart-text"],
    "ytick.labelcolor": COLOURS["--chart-text"],
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}


def new_axes(label: str, end: float, *, wide: bool = False) -> tuple[Figure, Axes]:
    """Axes from 0 to `end` named `label`; wide ones show their text as large in a wider place."""
    with mpl.rc_context(STYLE):
        width, height = (6, 3.1) if wide else (4.6, 2.6)  # in units of 72 CSS pixels
        figure = Figure(figsize=(width, height), dpi=72)
        left, bottom, end_air, top_air = 0.65 / width, 0.54 / height, 0.1 / width, 0.1 / height
        axes = figure.add_axes((left, bottom, 1 - left - end_air, 1 - bottom - top_air))
        axes.set_xlabel(label)
        axes.set_xlim(0, 1.02 * end or 1)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.6g}".replace("-", "−")))
    return figure, axes


def frame(axes: Axes, shown: Sequence[float]) -> None:
    """Vertical limits around `shown`, with air; zero stays at the bottom if it is the lowest."""
    low, high = min(shown), max(shown)
    air = 0.06 * (high - low) or max(abs(high), 1.0) * 0.06
    axes.set_ylim(low if low == 0 else low - air, high + air)


def to_svg(name: str, figure: Figure) -> str:
    """The figure as an <svg> element for the inside of a page; equal figures give equal text."""
    file = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name, "svg.id": name}):
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=metadata)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # it would style the whole page
    svg = re.sub(r"font-family:[^;]*;", "", svg)
    svg = re.sub(r' width="[^"]*" height="[^"]*"', ' aria-hidden="true"', svg, count=1)
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\1{name}-", svg)
    for custom_property, colour in COLOURS.items():
        svg = svg.replace(colour, f"var({custom_property})")
    return svg
