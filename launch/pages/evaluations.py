"""Which figures of evaluations the result page shows, in which charts and words.

The figures of the papers come first (DLSGAN figs. 1–5, 8 and 9, PVDGAN figs. 1–3), then whatever
else a run has evaluated, under its own name. Names are `eval/FIGURE`, `eval/FIGURE_FEATURES` for
distances of sets, and end in `_test` or `_generated` for reconstructions of those images.
"""

from ganinv.evaluation.figures import explain
from ganinv.metrics.base import INCEPTION, Figure, set_metrics
from launch.pages.curves import CurveGroup, Rows, drawable, drawn_keys

PREFIX = "eval/"
PARTS = {"_test": "held out", "_generated": "generated"}
FEATURES = {
    "own": "the discriminator's own features",
    "pixels": "pixels",
    "lite0": "EfficientNet-Lite0",
    INCEPTION: "FID's Inception",
}
OF_THE_PAPERS = (
    CurveGroup(
        title="Encoder loss, L_enc",
        series={"eval/enc": ""},
        caption="How far the code read from a generated image is from the code that made it, each "
        "element weighed by its scale. 1 would mean that nothing was read at all.",
        source="DLSGAN fig. 2",
        higher_is_better=False,
        from_zero=True,
    ),
    CurveGroup(
        title="Latent entropy",
        unit="nats",
        series={"latent/entropy_nats": ""},
        caption="How much the scaled code can say. It falls while the model drops elements that "
        "images do not need, then should level off.",
        source="DLSGAN fig. 3",
    ),
    CurveGroup(
        title="PSNR of reconstructions",
        unit="dB",
        series={"eval/psnr_db_test": "held out", "eval/psnr_db_generated": "generated"},
        caption="How close an image comes back after encoding and decoding, pixel by pixel. "
        "Held-out images are the harder test.",
        source="DLSGAN figs. 4 and 8, PVDGAN figs. 2 and 3",
        higher_is_better=True,
    ),
    CurveGroup(
        title="SSIM of reconstructions",
        series={"eval/ssim_test": "held out", "eval/ssim_generated": "generated"},
        caption="How much of an image's structure comes back: 1 is a perfect copy.",
        source="DLSGAN figs. 5 and 9, PVDGAN figs. 2 and 3",
        higher_is_better=True,
    ),
)
# By name of the figure of a set metric: what it tells, and where the papers show it.
SET_WORDS = {
    "fd": (
        "How far the cloud of generated images is from that of held-out ones. Compare it only "
        "with figures on the same features and as many images.",
        "as DLSGAN fig. 1 and PVDGAN fig. 1",
    ),
    "kd": (
        "As the Fréchet distance, but without assuming the shape of the clouds; near 0, and even "
        "below, where they agree.",
        "",
    ),
    "precision": (
        "Precision: the share of generated images that look like held-out ones. Recall: the share "
        "of held-out images that the model could have made.",
        "PVDGAN fig. 1",
    ),
    "swd": ("How far the two clouds are apart along random directions.", ""),
}


def evaluation_groups(rows: Rows) -> list[CurveGroup]:
    """The groups for which there is something to draw: each figure that `rows` hold, once."""
    known = {key for group in OF_THE_PAPERS for key in group.series}
    charts: dict[str, list[str]] = {}
    for key in sorted(drawn_keys(rows, PREFIX) - known):
        charts.setdefault(_chart_of(key.removeprefix(PREFIX)), []).append(key)
    return [
        *drawable(OF_THE_PAPERS, rows),
        *(_further(chart, keys) for chart, keys in sorted(charts.items())),
    ]


def _chart_of(name: str) -> str:
    """The name that figures have in common which are read together."""
    for part in PARTS:
        name = name.removesuffix(part)
    figure, features = _figure_on(name) or (None, "")
    return f"precision_{features}" if figure and figure.name == "recall" else name


def _further(chart: str, keys: list[str]) -> CurveGroup:
    found = _figure_on(chart)
    if found is None:
        parts = {key: next((PARTS[p] for p in PARTS if key.endswith(p)), "") for key in keys}
        known = explain(keys[0])
        return CurveGroup(
            title=chart.replace("_", " "),
            unit=known.unit if known else "",
            series=parts,
            caption=f"Further evaluation of this run, as {', '.join(keys)} in metrics.jsonl.",
            higher_is_better=known.higher_is_better if known else None,
        )
    figure, features = found
    words, source = SET_WORDS.get(figure.name, ("", ""))
    labels = {key: key.removeprefix(PREFIX).partition("_")[0] for key in keys}
    title = "Precision and recall" if figure.name == "precision" else figure.meaning
    if features == INCEPTION and figure.on_inception:
        title = figure.on_inception.upper()
    return CurveGroup(
        title=f"{title[0].upper()}{title[1:]} on {features}",
        unit=figure.unit,
        series=labels if len(keys) > 1 else dict.fromkeys(keys, ""),
        caption=f"{words} Taken on {FEATURES.get(features, features)}.".strip(),
        source=source,
        higher_is_better=figure.higher_is_better,
    )


def _figure_on(name: str) -> tuple[Figure, str] | None:
    """Which figure of a set metric bears this name, and on which features; the inverse of `on`."""
    for figure in (figure for metric in set_metrics() for figure in metric.figures):
        if name == figure.on_inception:
            return figure, INCEPTION
        if name.startswith(f"{figure.name}_"):
            return figure, name.removeprefix(f"{figure.name}_")
    return None
