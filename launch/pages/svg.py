"""Axes in the style of the result page, and their SVG for an HTML page or a file.

Colours become custom properties, so that one drawing serves the light and the dark style. In a page
the drawing takes colours and fonts from the page; a file has its own.
"""

import io
import re
from collections.abc import Sequence
from html import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from launch.pages.style import FONT, LIGHT, themed

# Matplotlib draws with placeholder colours; the SVG replaces each by its custom property.
COLOURS = {name: f"#5ca1{i:02x}" for i, name in enumerate(LIGHT)}
STYLE = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": COLOURS["--ink"],
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
INCH_PX = 72  # one inch of Matplotlib in CSS pixels
MARGINS_PX = (46.8, 38.9, 7.2, 7.2)  # left, bottom, right and top of the axes, for their labels


def new_axes(
    label: str,
    end: float,
    *,
    size_px: tuple[float, float] = (331.2, 187.2),
    margin_px: tuple[float, float] = (0, 0),
) -> tuple[Figure, Axes]:
    """Axes from 0 to `end` named `label`; `margin_px` stays free at the right and at the top."""
    width, height = size_px
    left, bottom = MARGINS_PX[:2]
    right, top = MARGINS_PX[2] + margin_px[0], MARGINS_PX[3] + margin_px[1]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width / INCH_PX, height / INCH_PX), dpi=INCH_PX)
        inside = (width - left - right) / width, (height - bottom - top) / height
        axes = figure.add_axes((left / width, bottom / height, *inside))
        axes.set_xlabel(label)
        axes.set_xlim(0, 1.02 * end or 1)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.6g}".replace("-", "−")))
    return figure, axes


def frame(axes: Axes, shown: Sequence[float]) -> None:
    """Set vertical limits around `shown`, with a margin; a lowest value of 0 is the bottom."""
    low, high = min(shown), max(shown)
    margin = 0.06 * (high - low) or max(abs(high), 1.0) * 0.06
    axes.set_ylim(low if low == 0 else low - margin, high + margin)


def to_svg(name: str, figure: Figure) -> str:
    """The figure as an <svg> element inside a page; equal figures give equal text."""
    size = r' width="[^"]*" height="[^"]*"'
    svg = re.sub(size, ' aria-hidden="true"', _drawn(name, figure), count=1)
    return re.sub(r'( id="|url\(#|href="#)', rf"\1{name}-", svg)


def to_svg_file(name: str, figure: Figure, alt: str) -> str:
    """The figure as the text of an SVG file with its own background; `alt` is its title."""
    figure.set_facecolor(COLOURS["--card"])
    style = f"<title>{escape(alt)}</title>\n<style>{themed('svg')}\nsvg {{ font-family: {FONT} }}"
    opening, rest = _drawn(name, figure).split(">", 1)
    return f"{opening}>\n{style}</style>{rest}"


def _drawn(name: str, figure: Figure) -> str:
    file = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name, "svg.id": name}):
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=metadata)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # applies to the whole page
    svg = re.sub(r"font-family:[^;]*;", "", svg)
    for custom_property, colour in COLOURS.items():
        svg = svg.replace(colour, f"var({custom_property})")
    return svg
