"""Held-out images and their features. Features of a fixed network are computed only once.

Shapes: N images of the set, B of a batch, F features, C × H × W image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ganinv.metrics.features import FeatureRows, Features
from ganinv.seams.engine import SumReduce
from ganinv.sizes import Resolution


class References(Protocol):
    """Stores features of held-out images between evaluations. Only rank 0 calls it."""

    def load(self, features: Features) -> Tensor | None:
        """The stored features, N × F, float32; None if there are no valid ones."""
        ...

    def save(self, features: Features, feature_NF: Tensor) -> None:
        """Store the features, float32, for later evaluations."""
        ...


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Images that the model was not trained on. `read` is asked for at most one batch at a time."""

    count: int
    """Number of images, corrupt ones included."""
    resolution: Resolution
    """Size of the images."""
    read: Callable[[range], tuple[Sequence[int], Tensor]]
    """Reads the images with these numbers, each below `count`. Returns the numbers of the images
    that are not corrupt, and these images, uint8 B × C × H × W. Every rank gets the same answer."""
    references: References | None = None
    """Stores features between evaluations; None: features are not stored."""


class RealFeatures:
    """The features of all held-out images, on every rank; `first` marks rank 0.

    Features of a network with a hash are kept for later evaluations, here and in the references.
    Features of the run's own networks change during training and are never kept. All ranks call
    each method together.
    """

    def __init__(self, held_out: HeldOut, *, first: bool, reduce: SumReduce) -> None:
        self._held_out = held_out
        self._references = held_out.references if first else None
        self._reduce = reduce
        self._kept: dict[str, Tensor] = {}  # N × F, float32

    def known(self, features: Features) -> Tensor | None:
        """Kept features, N × F, float32; None if the features must be extracted."""
        if features.sha256 is None:
            return None
        if features.name not in self._kept:
            found_NF = self._references.load(features) if self._references else None
            # Rank 0 decides for all ranks, because another rank might find something else.
            there = torch.tensor(float(found_NF is not None), dtype=torch.float64)
            if self._reduce(there) > 0:
                rows = FeatureRows(self._held_out.count)
                if found_NF is not None:
                    rows.put(range(self._held_out.count), found_NF)
                self._kept[features.name] = rows.gathered(self._reduce)
        return self._kept.get(features.name)

    def gathered(self, features: Features, rows: FeatureRows, good_N: Tensor) -> Tensor:
        """The features of all images in `good_N`, from all ranks' `rows` or kept: float32, … × F.

        Features are kept only if no image is corrupt, because a corrupt image may be repaired.
        """
        kept_NF = self._kept.get(features.name)
        if kept_NF is not None:
            return kept_NF[good_N]
        feature_NF = rows.gathered(self._reduce)
        if features.sha256 is not None and bool(good_N.all()):
            self._kept[features.name] = feature_NF
            if self._references is not None:
                self._references.save(features, feature_NF)
        return feature_NF[good_N]
