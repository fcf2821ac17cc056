"""What methods and metrics declare about the numbers they report: names, units, meanings, charts.

The code that writes, exports or draws numbers reads these declarations. So each number is described
in one place, beside the code that computes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # a process that only exports numbers need not import torch, which takes a second
    from torch import Tensor


class Statistic(NamedTuple):
    """One number of `metrics.jsonl`."""

    name: str
    unit: str  # empty for a pure number
    help: str
    higher_is_better: bool | None = None  # None if neither direction is better
    gauge: str = ""  # name in Prometheus without the prefix; empty for losses and figures


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """Statistics that share one chart of the result page, and a caption that explains them."""

    title: str
    series: Mapping[str, str]  # statistic → label in the legend; empty for a single series
    caption: str
    from_zero: bool = False  # start the axis at zero, because the distance from zero matters


class Highlight(NamedTuple):
    """A key figure, shown in large type on the result page."""

    label: str
    value: str  # formatted, without its unit
    unit: str = ""
    meaning: str = ""  # one short sentence for newcomers


class Spectrum(NamedTuple):
    """The spread of every element of some latent codes, for example a traced variance."""

    label: str  # names the codes, in words for people
    variance_L: "Tensor"  # float64
