"""Active units: how many elements of the code vary from image to image.

Paper: Y. Burda et al., "Importance Weighted Autoencoders", ICLR 2016, §5.2: element i is active if
Var_x E[z_i | x] > 0.01. 0 of a variational method is a posterior that has collapsed to the prior.
Defined for codes of unit prior variance. Shapes: N images, L latent elements.
"""

import math

from torch import Tensor

from ganinv.metrics.base import CodeMetric, Figure

LEAST_VARIANCE = 0.01


def active_units(code_NL: Tensor) -> float:
    """The number of elements whose variance over the images is above 0.01.

    NaN for codes that are not finite.
    """
    if not code_NL.isfinite().all():
        return math.nan
    return float((code_NL.double().var(0, correction=0) > LEAST_VARIANCE).sum())


METRIC = CodeMetric(
    figure=Figure(
        name="active_units",
        unit="elements",
        higher_is_better=True,
        meaning="Elements of the code that vary (variance above 0.01)",
    ),
    function=active_units,
)
