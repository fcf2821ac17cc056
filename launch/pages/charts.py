"""The curves of the result page, as inline SVG with the colours and fonts of the page.

The template holds titles, legends and captions as HTML; the SVG holds axes and lines only. So no
text of a run enters an SVG, and a chart follows the page into its dark style.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from launch.pages.curves import (
    FEW_POINTS,
    CurveGroup,
    Floats,
    Rows,
    best_of,
    envelope,
    finite_curve,
    number,
    smoothed,
)
from launch.pages.style import SERIES
from launch.pages.svg import COLOURS, frame, new_axes, to_svg


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One entry of a chart's legend."""

    label: str  # empty if the chart's title is enough
    latest: str  # the last value (smoothed if the curve is), or the number of active elements
    best: str = ""  # the best value and its images_seen; empty if no direction is better
    colour: str  # a custom property of the page's style, "--series-1" …


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """One drawn chart and the text around it."""

    title: str
    unit: str = ""  # of the vertical axis; empty for a pure number
    direction: str = ""  # "higher is better", "lower is better", or empty
    source: str = ""  # the corresponding figures of the papers
    caption: str  # what the chart shows and what to look for
    alt: str  # the text alternative of the drawing
    lines: tuple[Line, ...]
    svg: str  # an <svg> element whose ids are unique on the page


def curve_charts(name: str, groups: Sequence[CurveGroup], rows: Rows) -> list[Chart]:
    """One chart for every group; `name` keeps their ids apart from the ids of other charts."""
    seen, _ = finite_curve(rows, "images_seen")
    return [_chart(f"{name}-{i}", group, rows, float(seen.max())) for i, group in enumerate(groups)]


def _chart(name: str, group: CurveGroup, rows: Rows, images_seen: float) -> Chart:
    """`images_seen`: the end of the horizontal axis, the same for all charts of a page."""
    scale, scale_name = scale_of(images_seen)
    figure, axes = new_axes(f"images seen{scale_name}", images_seen / scale)
    unit = f" {group.unit}" if group.unit else ""
    lines, changes, shown = [], [], [0.0] if group.from_zero else []
    for (key, label), colour in zip(group.series.items(), SERIES, strict=False):
        x, y = finite_curve(rows, key)
        if x.size:
            first, last, extent = _draw_curve(axes, x / scale, y, COLOURS[colour])
            best = _best(group, x, y)
            lines.append(Line(label=label, latest=number(last), best=best, colour=colour))
            changes.append(f"{label or group.title} from {number(first)} to {number(last)}{unit}")
            shown += extent
    frame(axes, shown)
    return Chart(
        title=group.title,
        unit=group.unit,
        direction=group.direction,
        source=group.source,
        caption=group.caption,
        alt=f"Line chart over {images_seen:,.0f} images seen: {'; '.join(changes)}.",
        lines=tuple(lines),
        svg=to_svg(name, figure),
    )


def scale_of(images: float) -> tuple[int, str]:
    """The divisor of the numbers on an axis up to `images`, and its name."""
    if images >= 2_000_000:
        return 1_000_000, " (millions)"
    return (1000, " (thousands)") if images >= 2000 else (1, "")


def _best(group: CurveGroup, x: Floats, y: Floats) -> str:
    best = best_of(y, group.higher_is_better)
    return "" if best is None else f"{number(best)} at {x[y == best][0]:,.0f} images"


def _draw_curve(
    axes: Axes, x: Floats, y: Floats, colour: str
) -> tuple[float, float, tuple[float, float]]:
    """Returns the first and last value of the drawn line, and the value range to show."""
    raw = envelope(x, y)
    smooth = smoothed(raw.mean)
    if y.size <= FEW_POINTS:
        axes.plot(raw.x, smooth, color=colour, linewidth=1.8, marker="o", markersize=3.5)
    else:
        axes.fill_between(raw.x, raw.low, raw.high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(raw.x, raw.mean, color=colour, alpha=0.3, linewidth=0.8)
        axes.plot(raw.x, smooth, color=colour, linewidth=1.8)
    # A few spikes may leave the frame: showing them would flatten the rest of the curve.
    low = min(smooth.min(), np.quantile(y, 0.01))
    high = max(smooth.max(), np.quantile(y, 0.99))
    return float(smooth[0]), float(smooth[-1]), (float(low), float(high))
