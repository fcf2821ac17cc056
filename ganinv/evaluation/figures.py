"""The names of evaluation figures in `metrics.jsonl`, and the meaning of each figure.

    eval/METRIC_SET                      a pair metric of reconstructions: eval/psnr_db_test
    eval/feature_distance_FEATURES_SET   the same on features: eval/feature_distance_lite0_test
    eval/METRIC_FEATURES                 a set metric: eval/fd_lite0; or eval/fid, eval/kid
    eval/swd_patches, swd_patches_SIDE   all levels of a pyramid, and the one with this side
    eval/enc                             the encoder loss on generated images
    eval/METRIC_test                     a code metric: eval/active_units_test

SET is `test` (held-out images of the test split) or `generated`.
"""

from collections.abc import Iterator, Mapping

from ganinv.declarations import Statistic
from ganinv.metrics import feature_distance
from ganinv.metrics.base import (
    INCEPTION,
    Figure,
    code_metrics,
    further_metrics,
    pair_metrics,
    set_metrics,
)

PREFIX = "eval/"
ENCODER_LOSS = f"{PREFIX}enc"
# Sets of images whose reconstructions are compared: name in figures → words.
IMAGE_SETS: Mapping[str, str] = {"test": "held-out", "generated": "generated"}


def pair_name(figure: Figure, image_set: str) -> str:
    return f"{PREFIX}{figure.name}_{image_set}"


def distance_name(features: str, image_set: str) -> str:
    return f"{PREFIX}{feature_distance.METRIC.figure.on(features)}_{image_set}"


def set_name(figure: Figure, features: str) -> str:
    """`features`: a feature network; the side of a pyramid's level, or nothing for all levels."""
    return f"{PREFIX}{figure.on(features)}".removesuffix("_")


def explain(name: str) -> Statistic | None:
    """Unit, meaning and direction of the figure `name`; None if no metric gives such a figure."""
    found = _found(name)
    return found[0] if found else None


def network_of(name: str) -> str:
    """The feature network of the figure `name`, or the pair metric with a network of its own.

    Empty for a figure without a network.
    """
    found = _found(name)
    return found[1] if found else ""


def on_features() -> Iterator[Figure]:
    """The figures that are named after a feature network, apart from feature distances."""
    for metric in set_metrics():
        yield from metric.figures
    yield from _further("features")


def _found(name: str) -> tuple[Statistic, str] | None:
    """The figure `name`, and its network."""
    words = name.removeprefix(PREFIX).removesuffix("_test").removesuffix("_generated").split("_")
    # The shortest name of features first: `swd_patches_16` is no `swd` on features `patches_16`.
    for features in (INCEPTION, *("_".join(words[-count:]) for count in range(1, len(words) + 1))):
        for figure, network in _on(features):
            if figure.name == name:
                return figure, network
    return None


def _on(features: str) -> Iterator[tuple[Statistic, str]]:
    """All figures on the feature network of this name, and figures without one."""
    loss = "Encoder loss on generated images, averaged weights"
    yield Statistic(ENCODER_LOSS, "", loss, False), ""
    for figure in (metric.figure for metric in code_metrics()):
        text = f"{figure.meaning}, over held-out images"
        yield Statistic(pair_name(figure, "test"), figure.unit, text, figure.higher_is_better), ""
    for image_set, images in IMAGE_SETS.items():
        pairs = [(metric.figure, "") for metric in pair_metrics()]
        for figure, network in pairs + [(figure, figure.name) for figure in _further("images")]:
            text = f"{figure.meaning} of reconstructions of {images} images"
            name = pair_name(figure, image_set)
            yield Statistic(name, figure.unit, text, figure.higher_is_better), network
        figure = feature_distance.METRIC.figure
        text = f"{figure.meaning} {features} of {images} images and their reconstructions"
        name = distance_name(features, image_set)
        yield Statistic(name, "", text, figure.higher_is_better), features
    for figure in on_features():
        text = f"{figure.meaning}, on the features {features}"
        name = set_name(figure, features)
        yield Statistic(name, figure.unit, text, figure.higher_is_better), features
    for figure in _further("levels"):
        yield Statistic(set_name(figure, ""), figure.unit, figure.meaning, False), ""
        if features.isdecimal():
            text = f"{figure.meaning}, level of {features} pixels"
            yield Statistic(set_name(figure, features), figure.unit, text, False), ""


def _further(suffix: str) -> Iterator[Figure]:
    """The figures of further metrics whose names have this kind of suffix."""
    for metric in further_metrics():
        if metric.suffix == suffix:
            yield from metric.figures
