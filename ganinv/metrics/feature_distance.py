"""Feature distance: how far an image and its reconstruction are apart for a feature network.

    mean over the features of (f(x) − f(x′))²

That is L_rec (PVDGAN §2) in the eyes of a network which is not the model's own. It has the scale of
the features: compare only figures on the same network. Shapes: B images, F features.
"""

from torch import Tensor

from ganinv.metrics.base import FeaturePairMetric, Figure


def feature_distance(feature_BF: Tensor, other_BF: Tensor) -> Tensor:
    """Of each image, B."""
    return (feature_BF - other_BF).square().mean(1)


METRIC = FeaturePairMetric(
    figure=Figure(
        name="feature_distance",
        higher_is_better=False,
        meaning="Mean squared distance on the features",
    ),
    function=feature_distance,
)
