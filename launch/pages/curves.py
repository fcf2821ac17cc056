"""Curves of a run: which curves share a chart, and how noisy curves are smoothed.

Pure functions from rows of `metrics.jsonl` to numbers; nothing here draws.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = Sequence[Mapping[str, float]]

FEW_POINTS = 24  # a curve of at most this many points is drawn unsmoothed, with dots
MOST_POINTS = 300  # about one per pixel of a chart; a longer curve is drawn as its envelope
SMOOTHED_SHARE = 0.12  # width of the smoothing window, as a share of the curve's length


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveGroup:
    """Curves that share one chart: they have the same unit and belong together."""

    title: str
    unit: str = ""  # of the vertical axis; empty for a pure number
    series: Mapping[str, str]  # metric's key → label in the legend; empty for a single curve
    caption: str  # what the chart shows and what to look for
    source: str = ""  # the corresponding figures of the papers
    higher_is_better: bool | None = None  # None if no direction is better
    from_zero: bool = False  # the distance from zero matters, so the axis starts at zero

    @property
    def direction(self) -> str:
        if self.higher_is_better is None:
            return ""
        return "higher is better" if self.higher_is_better else "lower is better"


class Envelope(NamedTuple):
    """A curve of at most `MOST_POINTS` points; each point stands for one or more neighbours."""

    x: Floats
    mean: Floats
    low: Floats
    high: Floats


def drawn_keys(rows: Rows, prefix: str = "") -> set[str]:
    """The keys with this prefix that have a finite value at a finite images_seen."""
    named = {key for row in rows for key in row if key.startswith(prefix)}
    return {key for key in named if finite_curve(rows, key)[0].size}


def drawable(groups: Iterable[CurveGroup], rows: Rows) -> list[CurveGroup]:
    """The groups with at least one curve to draw."""
    keys = drawn_keys(rows)
    return [group for group in groups if keys & group.series.keys()]


def finite_curve(rows: Rows, key: str) -> tuple[Floats, Floats]:
    """images_seen and the values of `key`, from the rows where both are finite."""
    points = [(row.get("images_seen", math.nan), row.get(key, math.nan)) for row in rows]
    points_N2 = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    points_N2 = points_N2[np.isfinite(points_N2).all(axis=1)]
    return points_N2[:, 0], points_N2[:, 1]


def best_of(y: Floats, higher_is_better: bool | None) -> float | None:
    """The best value of a curve; None if no direction is better."""
    if higher_is_better is None:
        return None
    return float(y.max() if higher_is_better else y.min())


def envelope(x: Floats, y: Floats) -> Envelope:
    """Mean, minimum and maximum of at most `MOST_POINTS` groups of neighbours; keeps spikes."""
    starts = np.unique(np.linspace(0, x.size, min(x.size, MOST_POINTS), endpoint=False, dtype=int))
    counts = np.diff(starts, append=x.size)
    return Envelope(
        x=np.add.reduceat(x, starts) / counts,
        mean=np.add.reduceat(y, starts) / counts,
        low=np.minimum.reduceat(y, starts),
        high=np.maximum.reduceat(y, starts),
    )


def smoothed(y: Floats) -> Floats:
    """A centred moving mean, which does not lag; at the ends the window holds fewer values."""
    if y.size <= FEW_POINTS:
        return y
    half = max(2, round(y.size * SMOOTHED_SHARE / 2))
    window = np.hanning(2 * half + 3)[1:-1]
    total = np.convolve(y, window)[half:-half]
    weight = np.convolve(np.ones_like(y), window)[half:-half]
    return np.asarray(total / weight, dtype=np.float64)


def number(value: float) -> str:
    """A number as text: three significant digits, and no exponent for thousands."""
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"
    return text.replace("-", "−")
