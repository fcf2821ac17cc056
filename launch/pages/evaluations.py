"""The charts of evaluation figures on the result page, and their text.

The figures of the papers come first (DLSGAN figs. 1–5, 8 and 9, PVDGAN figs. 1–3), then all other
figures of the run, under their own names. A name is `eval/FIGURE`, or `eval/FIGURE_FEATURES` for a
distance of sets; it ends in `_test` or `_generated` for reconstructions of such images. A distance
of patches is `eval/FIGURE_SIDE`, or without the side that of all levels.
"""

from ganinv.evaluation.figures import explain, on_features
from ganinv.metrics import swd_patches
from ganinv.metrics.base import INCEPTION, Figure, further_metrics
from launch.pages.curves import CurveGroup, Rows, drawable, drawn_keys

PREFIX = "eval/"
IMAGE_SETS = {"_test": "held out", "_generated": "generated"}
FEATURES = {
    "own": "the discriminator's own features",
    "pixels": "pixels",
    "lite0": "EfficientNet-Lite0",
    INCEPTION: "FID's Inception",
    "lpips_vgg": "LPIPS on VGG16",
    "lpips_alex": "LPIPS on AlexNet",
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
PATCHES = swd_patches.METRIC.figures[0]
# Figures that stand in the chart of another one.
BESIDE = {
    "recall": "precision",
    "coverage": "density",
    "ppl_end": "ppl_full",
    "ppl_y_end": "ppl_y_full",
}
TITLES = {
    "precision": "Precision and recall",
    "density": "Density and coverage",
    "ppl_full": "Perceptual path length",
    "ppl_y_full": "Perceptual path length between styles",
}
# Name of a figure on features → its caption, and the corresponding figure of the papers.
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
    "rfd": (
        "The distance of the distribution of reconstructions from that of the held-out images.",
        "LIA table 3",
    ),
    "density": (
        "Density: how many held-out images are near a generated one, 1 on average for equal "
        "distributions. Coverage: the share of held-out images with a generated image near them. "
        "Outliers move them less than precision and recall.",
        "",
    ),
    "ppl_full": (
        "How much an image changes along short steps between two codes: at any place of the path "
        "(full), and at its start (end).",
        "",
    ),
    "ppl_y_full": (
        "The same on straight lines between two styles: less than between codes where the mapper "
        "untangles what the code mixes.",
        "",
    ),
    "separability": (
        "How well hyperplanes among the codes divide images by their attributes; 1 is the best.",
        "",
    ),
}
# Name of a further figure of reconstructions → its caption.
PAIR_WORDS = {
    "lpips_vgg": "The distance of an image and its reconstruction as people see it.",
    "lpips_alex": "The distance of an image and its reconstruction as people see it.",
    "identity_distance": "The distance of two faces' descriptors; below 0.6, the recogniser takes "
    "them for one person. Pairs without two faces are left out.",
    "faces": "The share of pairs of images in which a face was found in both.",
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
    if _is_of_patches(name):
        return PATCHES.name
    figure, features = _figure_on(name) or (None, "")
    beside = BESIDE.get(figure.name) if figure else None
    return f"{beside}_{features}" if beside else name


def _further(chart: str, keys: list[str]) -> CurveGroup:
    if chart == PATCHES.name:
        return _of_patches(keys)
    found = _figure_on(chart)
    if found is None:
        return _of_pairs(chart, keys)
    figure, features = found
    words, source = SET_WORDS.get(figure.name, ("", ""))
    labels = {key: _label(key) for key in keys}
    title = TITLES.get(figure.name, figure.meaning)
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


def _of_pairs(chart: str, keys: list[str]) -> CurveGroup:
    known = explain(keys[0])
    further = (f for m in further_metrics() if m.suffix == "images" for f in m.figures)
    title = next((figure.meaning for figure in further if figure.name == chart), "")
    caption = f"Further evaluation of this run, as {', '.join(keys)} in metrics.jsonl."
    return CurveGroup(
        title=title or chart.replace("_", " "),
        unit=known.unit if known else "",
        series={key: _image_set(key) for key in keys},
        caption=PAIR_WORDS.get(chart, caption),
        higher_is_better=known.higher_is_better if known else None,
    )


def _of_patches(keys: list[str]) -> CurveGroup:
    side = {key: key.removeprefix(f"{PREFIX}{PATCHES.name}").strip("_") for key in keys}
    ordered = sorted(keys, key=lambda key: int(side[key] or 0))  # the mean of all levels first
    return CurveGroup(
        title=PATCHES.meaning,
        series={key: f"{side[key]} pixels" if side[key] else "all levels" for key in ordered},
        caption="The distance of patches of 7 × 7 pixels of held-out and of generated images, on "
        "the levels of a Laplacian pyramid: fine detail on the largest level, layout on the "
        "smallest.",
        source="LIA table 3",
        higher_is_better=PATCHES.higher_is_better,
    )


def _is_of_patches(name: str) -> bool:
    side = name.removeprefix(PATCHES.name)
    return name.startswith(PATCHES.name) and (not side or side.removeprefix("_").isdecimal())


def _image_set(key: str) -> str:
    return next((label for suffix, label in IMAGE_SETS.items() if key.endswith(suffix)), "")


def _label(key: str) -> str:
    figure, _ = _figure_on(key.removeprefix(PREFIX)) or (None, "")
    return figure.name.replace("_", " ") if figure else key


def _figure_on(name: str) -> tuple[Figure, str] | None:
    """The figure on features with this name, and its features; the inverse of `Figure.on`."""
    for figure in on_features():
        if name == figure.on_inception:
            return figure, INCEPTION
        if name.startswith(f"{figure.name}_"):
            return figure, name.removeprefix(f"{figure.name}_")
    return None
