"""Fréchet distance between held-out images and their reconstructions ("rFID" on FID's features).

The distance of `frechet.py`, between the features of N held-out images and the features of their N
reconstructions. LIA (Zhu et al.) compares inversions by it (table 3). It is blind to which
reconstruction belongs to which image, and like all Fréchet distances it is biased for few samples:
compare only figures of equal N.
"""

from ganinv.metrics import frechet
from ganinv.metrics.base import Figure, SetMetric

METRIC = SetMetric(
    figures=(
        Figure(
            name="rfd",
            higher_is_better=False,
            meaning="Fréchet distance of reconstructions from held-out images",
            on_inception="rfid",
        ),
    ),
    function=frechet.METRIC.function,
    second="reconstructions",
)
