"""The page of an inversion by stages: figures, pictures and curves in one HTML file.

Arrays of images are uint8, N images × K stages × H × W × C; the first stage is the image itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from launch.pages.charts import Chart, Line
from launch.pages.curves import Floats, number
from launch.pages.page import Headline, fill
from launch.pages.sections import AS_STORED, Gallery, Images, decibels
from launch.pages.style import SERIES
from launch.pages.svg import COLOURS, frame, new_axes, to_svg, to_svg_file

TUNING = "tuning"  # the curve of pivotal tuning, beside those of the starts
WORDS = {
    "encoder": "Encoder",
    "searched": "After the search",
    "tuned": "After tuning",
}  # stages in words
SEARCH_CAPTION = (
    "Mean over the images, by passes through the generator; an image that has stopped counts with "
    "its last value. The first value is that of the start itself."
)
TUNING_CAPTION = "The same while the weights of the generator change, from the best point on."


@dataclass(frozen=True, kw_only=True)
class MeanCurve:
    """The means over all images of one start, by evaluation."""

    start: str
    psnr_db: Floats
    loss: Floats


def inversion_page(plain: Mapping[str, Any], images: Images, curves: Sequence[MeanCurve]) -> str:
    """The page. `plain`: the figures, as `Record.plain` gives them; `images`: the first ones."""
    stages: Mapping[str, Any] = plain["stages"]
    names = ("Image", *(WORDS[stage] for stage in stages))
    notes = [
        " → ".join(_decibels(each[stage]["psnr_db"]) for stage in stages)
        for each in plain["each"][: len(images)]
    ]
    return fill(
        "inversion.html.j2",
        plain=plain,
        headlines=[_headline(stage, values) for stage, values in stages.items()],
        gallery=Gallery(images=images, names=names, notes=tuple(notes)),
        names=names,
        figures=_table(stages),
        words=WORDS,
        charts=_charts(curves),
        as_stored=AS_STORED,
    )


def chart_file(curves: Sequence[MeanCurve]) -> str:
    """The PSNR of all starts as an SVG file."""
    figure, axes = _axes(curves)
    shown = _draw(axes, [(c.start, c.psnr_db) for c in curves])
    frame(axes, shown)
    axes.set_ylabel("PSNR, dB")
    axes.legend(frameon=False, fontsize=8)
    return to_svg_file("inversion", figure, "PSNR by passes through the generator")


def _headline(stage: str, values: Mapping[str, Any]) -> Headline:
    psnr = values["figures"]["psnr_db"]["mean"]
    return Headline(
        label=f"PSNR: {WORDS[stage].lower()}",
        value="∞" if psnr is None else f"{psnr:.2f}",
        unit="dB",
        meaning=f"{number(values['s_per_image'])} s an image",
    )


def _table(stages: Mapping[str, Any]) -> dict[str, list[str]]:
    """Mean figures by name, one for each stage."""
    first = next(iter(stages.values()))["figures"]
    return {
        name: [
            "–" if (mean := values["figures"][name]["mean"]) is None else number(mean)
            for values in stages.values()
        ]
        for name in first
    }


def _charts(curves: Sequence[MeanCurve]) -> list[Chart]:
    searches = [curve for curve in curves if curve.start != TUNING]
    tuning = [curve for curve in curves if curve.start == TUNING]
    found = [
        _chart("search-psnr", "PSNR of the search", searches, SEARCH_CAPTION, of_loss=False),
        _chart("search-loss", "Loss of the search", searches, SEARCH_CAPTION, of_loss=True),
    ]
    if tuning:
        found.append(_chart("tuning", "PSNR of tuning", tuning, TUNING_CAPTION, of_loss=False))
    return found


def _chart(
    name: str, title: str, curves: Sequence[MeanCurve], caption: str, *, of_loss: bool
) -> Chart:
    figure, axes = _axes(curves)
    drawn = [(curve.start, curve.loss if of_loss else curve.psnr_db) for curve in curves]
    frame(axes, _draw(axes, drawn))
    changes = [f"{start} from {number(y[0])} to {number(y[-1])}" for start, y in drawn]
    return Chart(
        title=title,
        unit="" if of_loss else "dB",
        direction="lower is better" if of_loss else "higher is better",
        caption=caption,
        alt=f"Line chart over passes through the generator: {'; '.join(changes)}.",
        lines=tuple(
            Line(label=start, latest=number(float(y[-1])), colour=colour)
            for (start, y), colour in zip(drawn, _colours(len(drawn)), strict=True)
        ),
        svg=to_svg(name, figure),
    )


def _axes(curves: Sequence[MeanCurve]) -> tuple[Figure, Axes]:
    return new_axes("passes through the generator", max(len(c.loss) for c in curves) - 1)


def _draw(axes: Axes, drawn: Sequence[tuple[str, Floats]]) -> list[float]:
    """Returns the values that the axes must show."""
    for (start, y), colour in zip(drawn, _colours(len(drawn)), strict=True):
        axes.plot(range(len(y)), y, color=COLOURS[colour], linewidth=1.8, label=start)
    return [float(value) for _, y in drawn for value in (y.min(), y.max())]


def _colours(count: int) -> list[str]:
    return [SERIES[i % len(SERIES)] for i in range(count)]


def _decibels(value: float | None) -> str:
    return "∞ dB" if value is None else decibels(value)
