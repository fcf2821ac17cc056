"""What methods and metrics declare of the numbers they report: names, units, meanings, charts.

Whoever writes, exports or draws numbers reads these declarations, so that a number is described in
one place, beside the code that computes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


class Statistic(NamedTuple):
    """One number of `metrics.jsonl`."""

    name: str
    unit: str  # empty for a pure number
    help: str
    higher_is_better: bool | None = None  # None where no direction is better by itself
    gauge: str = ""  # name in Prometheus without the prefix; losses and figures need none


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """Statistics that share one chart of the result page, and what a reader should look for."""

    title: str
    series: Mapping[str, str]  # statistic → label in the legend; empty where there is only one
    caption: str
    from_zero: bool = False  # the distance from zero matters, so the axis starts there


class Highlight(NamedTuple):
    """One of the few figures that stand large on the result page."""

    label: str
    value: str  # formatted, without its unit
    unit: str = ""
    meaning: str = ""  # one short sentence for newcomers


class Spectrum(NamedTuple):
    """The spread of every element of some latent codes, for example a traced variance."""

    label: str  # whose codes, in words for people
    variance_L: Tensor  # float64
