"""Further figures of an evaluation: they take time or files, and the options ask for them.

Shapes: N held-out and M generated images, B of a batch, F features, A attributes, L latent
elements, C × H × W image.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganinv.evaluation.figures import set_name
from ganinv.evaluation.held_out import HeldOut
from ganinv.metrics import path_length, separability, swd_patches
from ganinv.metrics.base import Figure, LoadedPairMetric, PairMetric
from ganinv.metrics.feature_distance import METRIC as FEATURE_DISTANCE
from ganinv.metrics.features import FeatureRows, Features
from ganinv.metrics.path_length import Distance, mean_length, path_lengths
from ganinv.metrics.ranks import Ranks
from ganinv.metrics.separability import binary_labels
from ganinv.metrics.swd_patches import OwnImages, patch_distances
from ganinv.model import InvertibleGan
from ganinv.sizes import size_of

log = logging.getLogger(__name__)
ATTRIBUTES_AT_ONCE = 256  # of images, read before a rank waits for the others

# The numbers of this rank's batches out of so many, with a title.
Batches = Callable[[int, str], Iterator[range]]


@dataclass(frozen=True, kw_only=True)
class Further:
    """What an evaluation computes beyond the figures of every evaluation."""

    pairs: Sequence[LoadedPairMetric] = ()  # on reconstructions, such as LPIPS
    distances: Sequence[str] = ()  # names of those pair metrics that also measure path lengths
    swd_patches: bool = False
    path_length: bool = False
    separability: bool = False
    missing: Sequence[str] = ()  # figures that were asked for, but whose packages are missing

    @property
    def named(self) -> list[str]:
        """The metrics that are computed, apart from `pairs`."""
        chosen = {
            "swd_patches": self.swd_patches,
            "path_length": self.path_length,
            "separability": self.separability,
        }
        return [name for name, is_chosen in chosen.items() if is_chosen]


class FurtherFigures:
    """The further figures of one evaluator. All ranks call each method together."""

    def __init__(
        self,
        options: Further,
        held_out: HeldOut,
        *,
        generated: int,
        seed: int,
        batches: Batches,
        ranks: Ranks,
    ) -> None:
        self.options = options
        self.attributes: list[str] = []
        """The attributes that the last evaluation's linear separability is about."""
        self._held_out = held_out
        self._generated = generated
        self._seed = seed
        self._batches = batches
        self._ranks = ranks

    @property
    def lacking(self) -> list[str]:
        """Figures that missing packages, small images, few codes or missing attributes rule out.

        The last evaluation says whether there were codes and attributes enough.
        """
        found = list(self.options.missing)
        shorter = min(size_of(self._held_out.resolution))
        if self.options.swd_patches and shorter < swd_patches.LEAST_PIXELS:
            found += [figure.name for figure in swd_patches.METRIC.figures]
        if self.options.separability and not self.attributes:
            found += [figure.name for figure in separability.METRIC.figures]
        return found

    def labels(self, model: InvertibleGan, good_N: Tensor) -> Tensor:
        """Labels of the held-out images in `good_N`, N × A, for linear separability.

        A is 0 without attributes, and if too few images are generated for the size of the codes.
        Every rank reads the attributes of all images.
        """
        self.attributes, read = [], self._held_out.attributes
        enough = self._generated >= separability.LEAST_CODES * model.latent_size
        if not (self.options.separability and enough and good_N.any()) or read is None:
            return torch.zeros(0, 0)
        found: list[Mapping[str, Any]] = []
        starts = range(0, len(good_N), ATTRIBUTES_AT_ONCE)
        for start in self._ranks.in_step(starts, len(starts) * self._ranks.world):
            found += read(range(start, min(start + ATTRIBUTES_AT_ONCE, len(good_N))))
        good = [attributes for attributes, is_good in zip(found, good_N, strict=True) if is_good]
        self.attributes, label_NA = binary_labels(good)
        return label_NA

    def separability(
        self, model: InvertibleGan, features: str, sets: tuple[Tensor, Tensor], label_NA: Tensor
    ) -> dict[str, float]:
        """Linear separability on a feature network; `sets`: real N × F, generated M × F."""
        (figure,) = separability.METRIC.figures
        name = set_name(figure, features)
        if not all(bool(feature_NF.isfinite().all()) for feature_NF in sets):
            log.warning("%s is left empty: some features are non-finite", name)
            return {name: math.nan}
        code_ML = model.prior(range(self._generated), self._seed)
        code_ML = model.codec.latent.to_generator(code_ML, model.codec.tensors)
        return {name: separability.separability(*sets, label_NA, code_ML, self._ranks)}

    def figures(
        self,
        model: InvertibleGan,
        networks: Sequence[Features],
        pairs: Sequence[PairMetric],
        images: tuple[OwnImages, OwnImages],
        good_N: Tensor,
    ) -> dict[str, float]:
        """The distance of patches, and path lengths on `networks` and by the `pairs` for that.

        `images`: what this rank has read and generated. `good_N`: which of the held-out images
        could be read.
        """
        found: dict[str, float] = {}
        if self.options.swd_patches:
            found |= self._patches(model, *images, good_N[: swd_patches.MOST_IMAGES])
        if self.options.path_length:
            measures = {f.name: _on_features(f) for f in networks}
            for metric in pairs:
                if metric.figure.name in self.options.distances:
                    measures[metric.figure.name] = metric.measure
            found |= self._paths(model, measures)
        return found

    def _patches(
        self, model: InvertibleGan, real: OwnImages, fake: OwnImages, good_N: Tensor
    ) -> dict[str, float]:
        sides = swd_patches.levels(*model.image_shape[1:])
        count = min(int(good_N.sum()), self._generated, swd_patches.MOST_IMAGES)
        if not count or not sides:
            return {}
        place_N = good_N.long().cumsum(0) - 1  # among the images that could be read
        found = patch_distances(
            real,
            fake,
            (place_N[real.numbers].tolist(), fake.numbers),
            count=count,
            sides=sides,
            seed=self._seed,
            ranks=self._ranks,
            device=model.device,
        )
        (figure,) = swd_patches.METRIC.figures
        named = {set_name(figure, str(side)): value for side, value in found.items()}
        return {set_name(figure, ""): sum(found.values()) / len(found)} | named

    def _paths(self, model: InvertibleGan, measures: Mapping[str, Distance]) -> dict[str, float]:
        found: dict[str, float] = {}
        for space, figures in path_length.figures_of(model).items():
            found |= self._lengths(model, measures, space, figures)
        return found

    def _lengths(
        self,
        model: InvertibleGan,
        measures: Mapping[str, Distance],
        space: str,
        figures: Sequence[Figure],
    ) -> dict[str, float]:
        """Path lengths in one space."""
        rows, how = FeatureRows(self._generated), list(measures.values())
        for numbers in self._batches(self._generated, "paths"):
            rows.put(numbers, path_lengths(model, how, numbers, self._seed, space))
        length_NK = rows.gathered(self._ranks.reduce)
        names = [set_name(figure, measure) for figure in figures for measure in measures]
        if not length_NK.isfinite().all():
            log.warning("path lengths are left empty: some images or features are non-finite")
            return dict.fromkeys(names, math.nan)
        return dict(zip(names, map(mean_length, length_NK.T), strict=True))


def _on_features(features: Features) -> Distance:
    def distance(image_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        # Not rounded to bytes: a step along a path changes less than a byte can show.
        both = (features.extract((x + 1) * 127.5) for x in (image_BCHW, other_BCHW))
        return FEATURE_DISTANCE.measure(*both)

    return distance
