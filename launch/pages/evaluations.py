"""The charts of evaluation figures on the result page, and their text.

The figures of the papers come first (DLSGAN figs. 1–5, 8 and 9, PVDGAN figs. 1–3), then all other
figures of the run, under their own names. A name is `eval/FIGURE`, or `eval/FIGURE_FEATURES` for a
distance of sets; it ends in `_test` or `_generated` for reconstructions of such images.
"""

from ganinv.evaluation.figures import explain
from ganinv.metrics.base import INCEPTION, Figure, set_metrics
from launch.pages.curves import CurveGroup, Rows, drawable, drawn_keys

PREFIX = "eval/"
IMAGE_SETS = {"_test": "held out", "_generated": "generated"}
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
        caption="The distance of the code that the encoder estimates for a generated image from "
        "the code that generated it, as the method measures it; 0 is best. The chart of the "
        "training loss, or a key figure, says which value means no information.",
        source="DLSGAN fig. 2",
        higher_is_better=False,
        from_zero=True,
    ),
    CurveGroup(
        title="Latent entropy",
        unit="nats",
        series={"latent/entropy_nats": ""},
        caption="The information that the scaled code can carry. It falls while the model drops "
        "elements that images do not need, then should level off.",
        source="DLSGAN fig. 3",
    ),
    CurveGroup(
        title="PSNR of reconstructions",
        unit="dB",
        series={"eval/psnr_db_test": "held out", "eval/psnr_db_generated": "generated"},
        caption="How close an image is to its reconstruction, pixel by pixel. Held-out images are "
        "the harder test.",
        source="DLSGAN figs. 4 and 8, PVDGAN figs. 2 and 3",
        higher_is_better=True,
    ),
    CurveGroup(
        title="SSIM of reconstructions",
        series={"eval/ssim_test": "held out", "eval/ssim_generated": "generated"},
        caption="How much of an image's structure its reconstruction keeps: 1 is a perfect copy.",
        source="DLSGAN figs. 5 and 9, PVDGAN figs. 2 and 3",
        higher_is_better=True,
    ),
)
# Name of a set metric's figure → its caption, and the corresponding figure of the papers.
SET_WORDS = {
    "fd": (
        "The distance of the distribution of generated images from that of held-out images. "
        "Compare it only with figures on the same features and the same number of images.",
        "as DLSGAN fig. 1 and PVDGAN fig. 1",
    ),
    "kd": (
        "Like the Fréchet distance, but without assuming Gaussian distributions; about 0, and "
        "sometimes below, if the distributions are equal.",
        "",
    ),
    "precision": (
        "Precision: the share of generated images that are similar to held-out images. Recall: "
        "the share of held-out images that are similar to generated images.",
        "PVDGAN fig. 1",
    ),
    "swd": ("The distance of the two distributions along random directions.", ""),
}


def evaluation_groups(rows: Rows) -> list[CurveGroup]:
    """The groups with a curve to draw; each figure in `rows` is in one of them."""
    known = {key for group in OF_THE_PAPERS for key in group.series}
    charts: dict[str, list[str]] = {}
    for key in sorted(drawn_keys(rows, PREFIX) - known):
        charts.setdefault(_chart_of(key.removeprefix(PREFIX)), []).append(key)
    return [
        *drawable(OF_THE_PAPERS, rows),
        *(_further(chart, keys) for chart, keys in sorted(charts.items())),
    ]


def _chart_of(name: str) -> str:
    """The common name of the figures that share a chart."""
    for suffix in IMAGE_SETS:
        name = name.removesuffix(suffix)
    figure, features = _figure_on(name) or (None, "")
    return f"precision_{features}" if figure and figure.name == "recall" else name


def _further(chart: str, keys: list[str]) -> CurveGroup:
    found = _figure_on(chart)
    if found is None:
        labels = {key: _image_set(key) for key in keys}
        known = explain(keys[0])
        return CurveGroup(
            title=chart.replace("_", " "),
            unit=known.unit if known else "",
            series=labels,
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
        caption=f"{words} Computed on {FEATURES.get(features, features)}.".strip(),
        source=source,
        higher_is_better=figure.higher_is_better,
    )


def _image_set(key: str) -> str:
    return next((label for suffix, label in IMAGE_SETS.items() if key.endswith(suffix)), "")


def _figure_on(name: str) -> tuple[Figure, str] | None:
    """The set metric's figure with this name, and its features; the inverse of `Figure.on`."""
    for figure in (figure for metric in set_metrics() for figure in metric.figures):
        if name == figure.on_inception:
            return figure, INCEPTION
        if name.startswith(f"{figure.name}_"):
            return figure, name.removeprefix(f"{figure.name}_")
    return None
