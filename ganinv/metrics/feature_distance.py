"""Feature distance: the distance between an image and its reconstruction on a feature network.

    mean over the features of (f(x) − f(x′))²

That is L_rec (PVDGAN §2) on a network that is not part of the model. The figure has the scale of
the features: compare only figures on the same network. Shapes: B images, F features.
"""

from torch import Tensor

from ganinv.metrics.base import FeaturePairMetric, Figure


def feature_distance(feature_BF: Tensor, other_BF: Tensor) -> Tensor:
    """The distance of each pair of feature vectors, B."""
    return (feature_BF - other_BF).square().mean(1)


METRIC = FeaturePairMetric(
    figure=Figure(
        name="feature_distance",
        higher_is_better=False,
        meaning="Mean squared distance on the features",
    ),
    function=feature_distance,
)
