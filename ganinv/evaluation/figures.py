"""The names of evaluation figures in `metrics.jsonl`, and the meaning of each figure.

    eval/METRIC_SET                      a pair metric of reconstructions: eval/psnr_db_test
    eval/feature_distance_FEATURES_SET   the same on features: eval/feature_distance_lite0_test
    eval/METRIC_FEATURES                 a set metric: eval/fd_lite0; or eval/fid, eval/kid
    eval/enc                             the encoder loss on generated images
    eval/METRIC_test                     a code metric: eval/active_units_test

SET is `test` (held-out images of the test split) or `generated`.
"""

from collections.abc import Iterator, Mapping

from ganinv.declarations import Statistic
from ganinv.metrics import feature_distance
from ganinv.metrics.base import INCEPTION, Figure, code_metrics, pair_metrics, set_metrics

PREFIX = "eval/"
ENCODER_LOSS = f"{PREFIX}enc"
# Sets of images whose reconstructions are compared: name in figures → words.
IMAGE_SETS: Mapping[str, str] = {"test": "held-out", "generated": "generated"}


def pair_name(figure: Figure, image_set: str) -> str:
    return f"{PREFIX}{figure.name}_{image_set}"


def distance_name(features: str, image_set: str) -> str:
    return f"{PREFIX}{feature_distance.METRIC.figure.on(features)}_{image_set}"


def set_name(figure: Figure, features: str) -> str:
    return f"{PREFIX}{figure.on(features)}"


def explain(name: str) -> Statistic | None:
    """Unit, meaning and direction of the figure `name`; None if no metric gives such a figure."""
    words = name.removeprefix(PREFIX).split("_")
    for features in (INCEPTION, *words):
        for figure in _on(features):
            if figure.name == name:
                return figure
    return None


def _on(features: str) -> Iterator[Statistic]:
    """All figures on the feature network of this name."""
    yield Statistic(ENCODER_LOSS, "", "Encoder loss on generated images, averaged weights", False)
    for figure in (metric.figure for metric in code_metrics()):
        text = f"{figure.meaning}, over held-out images"
        yield Statistic(pair_name(figure, "test"), figure.unit, text, figure.higher_is_better)
    for image_set, images in IMAGE_SETS.items():
        for figure in (metric.figure for metric in pair_metrics()):
            text = f"{figure.meaning} of reconstructions of {images} images"
            name = pair_name(figure, image_set)
            yield Statistic(name, figure.unit, text, figure.higher_is_better)
        figure = feature_distance.METRIC.figure
        text = f"{figure.meaning} {features} of {images} images and their reconstructions"
        yield Statistic(distance_name(features, image_set), "", text, figure.higher_is_better)
    for figure in (figure for metric in set_metrics() for figure in metric.figures):
        text = f"{figure.meaning}, on the features {features}"
        yield Statistic(set_name(figure, features), figure.unit, text, figure.higher_is_better)
