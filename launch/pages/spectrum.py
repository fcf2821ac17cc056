"""The charts of the variance trace: how many elements of the code images use."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter

from launch.pages.charts import Chart, Line
from launch.pages.curves import Floats
from launch.pages.style import SERIES
from launch.pages.svg import COLOURS, frame, new_axes, to_svg

ACTIVE_VARIANCE = 0.1  # an element with a larger v counts as used by the images
LOWEST_LOG_VARIANCE = 1e-6  # smaller values leave the logarithmic chart
SIZE_PX = (432.0, 223.2)
WORDS = {
    "linear": (
        "Variance v of each element",
        "The elements of the code, the most used first. Elements above the dashed line at 0.1 "
        "count as active: images use them.",
    ),
    "logarithmic": (
        "The same on a logarithmic axis",
        "Shows the tail of elements that images hardly use. A steep drop means that the model "
        "has settled on a number of elements; a gentle slope means that it has not yet.",
    ),
}


def spectrum_charts(labelled: Mapping[str, Floats]) -> list[Chart]:
    """The variance trace v, sorted, on a linear and on a logarithmic axis; no chart without values.

    `labelled`: whose codes → d_z values of v.
    """
    spectra = {k: np.sort(v[np.isfinite(v)])[::-1] for k, v in labelled.items()}
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
            caption=caption,
            alt=f"Elements of the code sorted by their variance v, {scale} axis. {summary}.",
            lines=lines,
            svg=_svg(scale, drawn),
        )
        for scale, (title, caption) in WORDS.items()
        if lines
    ]


def _svg(scale: str, spectra: Sequence[tuple[Floats, str]]) -> str:
    longest = max(v.size for v, _ in spectra)
    figure, axes = new_axes("element, the most used first", longest, size_px=SIZE_PX)
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
