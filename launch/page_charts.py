"""The charts of the result page, as inline SVG that takes its colours and fonts from the page.

Titles, legends and captions are HTML and stand in the template; the SVG holds axes and lines only.
So no text of a run ever enters an SVG, and a chart follows the page into its dark style.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from launch.page_curves import (
    FEW_POINTS,
    CurveGroup,
    Floats,
    Rows,
    envelope,
    finite_curve,
    groups_of,
    number,
    smoothed,
)
from launch.page_svg import COLOURS, SERIES, frame, new_axes, to_svg

ACTIVE_VARIANCE = 0.1  # an element with a larger v counts as used by the images
LOWEST_LOG_VARIANCE = 1e-6  # smaller values leave the logarithmic chart
SPECTRUM_WORDS = {
    "linear": (
        "Variance v of each element",
        "The elements of the code, the most used first. Those above the dashed line at 0.1 count "
        "as active: images really use them.",
    ),
    "logarithmic": (
        "The same on a logarithmic axis",
        "Shows the tail of hardly used elements. A cliff means that the model has settled how "
        "many it needs; a gentle slope, that it is still deciding.",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One entry of a chart's legend."""

    label: str  # empty where the chart's title says it all
    latest: str  # the last value, smoothed where the curve is, or the number of active elements
    colour: str  # a custom property of the page's style, "--series-1" or "--series-2"


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """One drawn chart and the words around it."""

    title: str
    unit: str  # of the vertical axis; empty for a pure number
    caption: str  # what one sees and what to look for
    alt: str  # what the drawing says, for those who cannot see it
    lines: tuple[Line, ...]
    svg: str  # an <svg> element whose ids are unique on the page


def training_charts(rows: Rows) -> list[Chart]:
    """One chart for every group of curves of which `rows` (of `metrics.jsonl`) hold something."""
    seen, _ = finite_curve(rows, "images_seen")
    groups = groups_of(rows)
    return [
        _training_chart(f"curve-{i}", group, rows, float(seen.max()))
        for i, group in enumerate(groups)
    ]


def spectrum_charts(fake: Floats, real: Floats | None) -> list[Chart]:
    """The variance trace v, sorted, on a linear and on a logarithmic axis; none without values.

    `fake`, `real`: d_z values of v, from the codes of generated and of real images.
    """
    labelled = {"generated images": fake, "real images": real}
    spectra = {k: np.sort(v[np.isfinite(v)])[::-1] for k, v in labelled.items() if v is not None}
    spectra = {label: v for label, v in spectra.items() if v.size}
    lines = tuple(
        Line(label=k, latest=f"{(v > ACTIVE_VARIANCE).sum()} of {v.size} active", colour=colour)
        for (k, v), colour in zip(spectra.items(), SERIES, strict=False)
    )
    summary = "; ".join(f"codes of {line.label}: {line.latest}" for line in lines)
    drawn = [(v, COLOURS[line.colour]) for v, line in zip(spectra.values(), lines, strict=True)]
    return [
        Chart(
            title=title,
            unit="",
            caption=caption,
            alt=f"Elements of the code sorted by their variance v, {scale} axis. {summary}.",
            lines=lines,
            svg=_spectrum_svg(scale, drawn),
        )
        for scale, (title, caption) in SPECTRUM_WORDS.items()
        if lines
    ]


def _training_chart(name: str, group: CurveGroup, rows: Rows, images_seen: float) -> Chart:
    """`images_seen`: the end of the horizontal axis, the same for all charts of a page."""
    scale, scale_name = _scale_of(images_seen)
    figure, axes = new_axes(f"images seen{scale_name}", images_seen / scale)
    unit = f" {group.unit}" if group.unit else ""
    lines, changes, shown = [], [], [0.0] if group.from_zero else []
    for (key, label), colour in zip(group.series.items(), SERIES, strict=False):
        x, y = finite_curve(rows, key)
        if x.size:
            first, last, extent = _draw_curve(axes, x / scale, y, COLOURS[colour])
            lines.append(Line(label=label, latest=number(last), colour=colour))
            changes.append(f"{label or group.title} from {number(first)} to {number(last)}{unit}")
            shown += extent
    frame(axes, shown)
    return Chart(
        title=group.title,
        unit=group.unit,
        caption=group.caption,
        alt=f"Line chart over {images_seen:,.0f} images seen: {'; '.join(changes)}.",
        lines=tuple(lines),
        svg=to_svg(name, figure),
    )


def _draw_curve(
    axes: Axes, x: Floats, y: Floats, colour: str
) -> tuple[float, float, tuple[float, float]]:
    """Returns the first and last value of the drawn line, and the lowest and highest to show."""
    raw = envelope(x, y)
    smooth = smoothed(raw.mean)
    if y.size <= FEW_POINTS:
        axes.plot(raw.x, smooth, color=colour, linewidth=1.8, marker="o", markersize=3.5)
    else:
        axes.fill_between(raw.x, raw.low, raw.high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(raw.x, raw.mean, color=colour, alpha=0.3, linewidth=0.8)
        axes.plot(raw.x, smooth, color=colour, linewidth=1.8)
    # A few spikes may leave the frame: they would flatten everything else.
    low = min(smooth.min(), np.quantile(y, 0.01))
    high = max(smooth.max(), np.quantile(y, 0.99))
    return float(smooth[0]), float(smooth[-1]), (float(low), float(high))


def _spectrum_svg(scale: str, spectra: Sequence[tuple[Floats, str]]) -> str:
    longest = max(v.size for v, _ in spectra)
    figure, axes = new_axes("element, the most used first", longest, wide=True)
    axes.set_xlim(1, max(longest, 2))
    for v, colour in spectra:
        rank = np.arange(1, v.size + 1)
        axes.plot(rank, v, color=colour, linewidth=1.8, marker="o" if v.size == 1 else "")
    v, colour = spectra[0]
    axes.fill_between(np.arange(1, v.size + 1), 0, v, color=colour, alpha=0.12, linewidth=0)
    axes.axhline(ACTIVE_VARIANCE, color=COLOURS["--chart-mark"], linewidth=1, dashes=(4, 3))
    shown = [0.0, 2 * ACTIVE_VARIANCE, *(float(v[0]) for v, _ in spectra)]
    if scale == "logarithmic":
        lowest = min(float(v[-1]) for v, _ in spectra)
        bottom = min(max(lowest, LOWEST_LOG_VARIANCE), ACTIVE_VARIANCE) / 2
        axes.set_yscale("log")
        axes.set_ylim(bottom, 1.5 * max(shown))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    else:
        frame(axes, shown)
    return to_svg(f"spectrum-{scale}", figure)


def _scale_of(images: float) -> tuple[int, str]:
    if images >= 2_000_000:
        return 1_000_000, " (millions)"
    return (1000, " (thousands)") if images >= 2000 else (1, "")
