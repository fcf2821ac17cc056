"""Which curves of a run the result page shows, in which charts and words, and how noise is tamed.

Pure functions from rows of `metrics.jsonl` to numbers; nothing here draws.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = Sequence[Mapping[str, float]]

FEW_POINTS = 24  # up to here a curve is drawn as it is, with a dot for each value
MOST_POINTS = 300  # about one per pixel of a chart; longer curves are drawn by their envelope
SMOOTHED_SHARE = 0.12  # of a curve's length: the width of the window that smooths it


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveGroup:
    """Curves that share one chart because they share a unit and are read together."""

    title: str
    unit: str = ""  # of the vertical axis; empty for a pure number
    series: Mapping[str, str]  # metric's key → label in the legend; empty where there is only one
    caption: str  # what one sees and what to look for
    from_zero: bool = False  # the distance from zero matters, so the axis starts there


GROUPS = (
    CurveGroup(
        title="Losses of the two networks",
        series={"loss/d": "discriminator", "loss/g": "generator"},
        caption="The tug of war that trains both. Look for a balance that holds: if one line runs "
        "away for good, that network has won and nobody learns.",
    ),
    CurveGroup(
        title="Verdict of the discriminator",
        series={"d/real": "real", "d/fake": "generated"},
        caption="Its mean score for real and for generated images. The closer the lines, the "
        "harder the two are to tell apart.",
    ),
    CurveGroup(
        title="PSNR of reconstructions",
        unit="dB",
        series={"eval/psnr_db_test": "held out", "eval/psnr_db_generated": "generated"},
        caption="How close an image comes back after encoding and decoding. Higher is better; "
        "held-out images are the harder test.",
    ),
    CurveGroup(
        title="Error of the code, L_enc",
        series={"loss/enc": ""},
        caption="How far the code read from a generated image is from the code that made it. "
        "Lower is better; 1 would mean that nothing was read at all.",
        from_zero=True,
    ),
    CurveGroup(
        title="Error of features, L_rec",
        series={"loss/rec": ""},
        caption="How far a real image and its reconstruction are apart in the eyes of the "
        "discriminator. Its eyes sharpen too, so this need not fall.",
        from_zero=True,
    ),
    CurveGroup(
        title="Gradient penalty, R1",
        series={"loss/r1": ""},
        caption="How steeply the discriminator's score changes around real images. Growing "
        "spikes are an early sign of trouble.",
        from_zero=True,
    ),
    CurveGroup(
        title="Latent entropy",
        unit="nats",
        series={"latent/entropy_nats": ""},
        caption="How much the scaled code can say. It falls while the model drops elements that "
        "images do not need, then should level off.",
    ),
    CurveGroup(
        title="Active latent elements",
        series={"latent/active": ""},
        caption="How many elements of the code have v above 0.1, so that images really use them.",
        from_zero=True,
    ),
    CurveGroup(
        title="Speed",
        unit="images per second",
        series={"throughput/images_per_second": ""},
        caption="Images trained per second over all workers. Dips are checkpoints, evaluations "
        "or restarts.",
        from_zero=True,
    ),
)


class Envelope(NamedTuple):
    """A curve of at most `MOST_POINTS` points, each standing for one or more neighbours."""

    x: Floats
    mean: Floats
    low: Floats
    high: Floats


def groups_of(rows: Rows) -> list[CurveGroup]:
    """The groups for which there is something to draw, and one for each other loss and figure."""
    known = {key for group in GROUPS for key in group.series}
    named = {key for row in rows for key in row}
    wanted = {key for key in named if key in known or key.startswith(("loss/", "eval/"))}
    keys = {key for key in wanted if finite_curve(rows, key)[0].size}
    return [group for group in GROUPS if any(key in keys for key in group.series)] + [
        CurveGroup(
            title=key,
            series={key: ""},
            caption=f"Further {'loss' if key.startswith('loss/') else 'evaluation'} of this run, "
            "under its name in metrics.jsonl.",
        )
        for key in sorted(keys - known)
    ]


def finite_curve(rows: Rows, key: str) -> tuple[Floats, Floats]:
    """Images seen and the values of `key`, of those rows where both are finite."""
    points = [(row.get("images_seen", math.nan), row.get(key, math.nan)) for row in rows]
    points_N2 = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    points_N2 = points_N2[np.isfinite(points_N2).all(axis=1)]
    return points_N2[:, 0], points_N2[:, 1]


def envelope(x: Floats, y: Floats) -> Envelope:
    """Mean and extremes of at most `MOST_POINTS` runs of neighbours, so that no spike is lost."""
    starts = np.unique(np.linspace(0, x.size, min(x.size, MOST_POINTS), endpoint=False, dtype=int))
    counts = np.diff(starts, append=x.size)
    return Envelope(
        x=np.add.reduceat(x, starts) / counts,
        mean=np.add.reduceat(y, starts) / counts,
        low=np.minimum.reduceat(y, starts),
        high=np.maximum.reduceat(y, starts),
    )


def smoothed(y: Floats) -> Floats:
    """A centred moving mean, so that nothing lags; at the ends over what there is."""
    if y.size <= FEW_POINTS:
        return y
    half = max(2, round(y.size * SMOOTHED_SHARE / 2))
    window = np.hanning(2 * half + 3)[1:-1]
    total = np.convolve(y, window)[half:-half]
    weight = np.convolve(np.ones_like(y), window)[half:-half]
    return np.asarray(total / weight, dtype=np.float64)


def number(value: float) -> str:
    """A figure for people: three significant digits, but no exponent for thousands."""
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"
    return text.replace("-", "−")
