"""The kinds of metrics. A metric is a pure function with the figures that it gives.

A *pair metric* compares each image with its reconstruction. A *feature pair metric* compares the
features of both. For these two kinds, each rank keeps only sums and counts. A *set metric* compares
the features of real images with the features of generated images, as two sets of points;
`features.FeatureRows` gathers the features over ranks. A *code metric* looks at the codes of
held-out images, which are gathered in the same way.

Shapes: B images, C × H × W pixels in [−1, 1]; N real and M generated samples, F features.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

from torch import Tensor

from ganinv import metrics
from ganinv.errors import ConfigError, DataError
from ganinv.metrics.ranks import ALONE, Ranks

INCEPTION = "inception"  # FID's features; only on these do some figures have their published names


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One number that a metric gives."""

    name: str
    unit: str = ""
    higher_is_better: bool
    meaning: str  # a few words, for tables
    on_inception: str | None = None  # name on FID's features, reserved for them

    def on(self, features: str) -> str:
        """The figure's name on these features: `fd_own`, but `fid` on FID's features."""
        if features == INCEPTION and self.on_inception:
            return self.on_inception
        return f"{self.name}_{features}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PairMetric:
    """Compares images with images, one by one."""

    figure: Figure
    function: Callable[[Tensor, Tensor], Tensor]  # (B × C × H × W, the same) → B, float64
    least_pixels: int = 1  # per side

    def measure(self, image_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        """The figure of each image, B, float64. Raises `ConfigError` if images are too small."""
        if min(image_BCHW.shape[2:]) < self.least_pixels:
            height, width = image_BCHW.shape[2:]
            raise ConfigError(
                f"{self.figure.name} of images with {height} × {width} pixels: needs at "
                f"least {self.least_pixels} per side; leave it out or use larger images"
            )
        return self.function(image_BCHW.double(), other_BCHW.double())


@dataclass(frozen=True, kw_only=True, slots=True)
class FeaturePairMetric:
    """Compares images with images, one by one, through their features."""

    figure: Figure
    function: Callable[[Tensor, Tensor], Tensor]  # (B × F, the same) → B, float64

    def measure(self, feature_BF: Tensor, other_BF: Tensor) -> Tensor:
        """The figure of each image, B, float64."""
        return self.function(feature_BF.double(), other_BF.double())


@dataclass(frozen=True, kw_only=True, slots=True)
class SetMetric:
    """Compares the features of real and of generated images.

    `function(real_NF, fake_MF, seed, ranks)` takes float32 or float64 on one device and computes in
    float64. All ranks call it together, with the same features, and it returns all figures. Work
    that grows faster than the sets is dealt out over the ranks; what every rank repeats must be
    short. Memory beyond the features must not grow with the product of the sets' sizes.
    """

    figures: tuple[Figure, ...]
    function: Callable[[Tensor, Tensor, int, Ranks], Sequence[float]]
    least_samples: int = 2  # of each set

    def measure(
        self, real_NF: Tensor, fake_MF: Tensor, *, seed: int, ranks: Ranks = ALONE
    ) -> dict[str, float]:
        """Figures by name; `seed` decides all random draws. All `ranks` call this together.

        Raises `ConfigError` for sets that are too small or have unequal numbers of features, and
        `DataError` for non-finite features.
        """
        n, m = len(real_NF), len(fake_MF)
        names = ", ".join(figure.name for figure in self.figures)
        if min(n, m) < self.least_samples:
            raise ConfigError(
                f"{names} of {n} real and {m} generated samples: needs at least "
                f"{self.least_samples} of each; raise the numbers of samples"
            )
        if real_NF.shape[1:] != fake_MF.shape[1:]:
            raise ConfigError(
                f"{names} of {real_NF.shape[1]} and {fake_MF.shape[1]} features per sample: "
                "use the same feature network for both"
            )
        if not (real_NF.isfinite().all() and fake_MF.isfinite().all()):
            raise DataError(
                f"{names}: some features are non-finite; check the feature network, or evaluate an "
                "earlier checkpoint"
            )
        values = self.function(real_NF, fake_MF, seed, ranks)
        return {f.name: float(v) for f, v in zip(self.figures, values, strict=True)}


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeMetric:
    """Looks at the codes that a model gives for held-out images."""

    figure: Figure
    function: Callable[[Tensor], float]  # N × L, at least one image


def code_metrics() -> list[CodeMetric]:
    """Every code metric."""
    return [m.METRIC for m in _modules() if isinstance(m.METRIC, CodeMetric)]


def pair_metrics() -> list[PairMetric]:
    """Every pair metric."""
    return [m.METRIC for m in _modules() if isinstance(m.METRIC, PairMetric)]


def set_metrics() -> list[SetMetric]:
    """Every set metric."""
    return [m.METRIC for m in _modules() if isinstance(m.METRIC, SetMetric)]


def _modules() -> list[ModuleType]:
    return [metrics.find(name) for name in metrics.names()]
