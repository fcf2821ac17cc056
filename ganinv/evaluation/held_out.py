"""Held-out images and their features, which networks that never change give but once.

Shapes: N images of the set, B of a batch, F features, C × H × W image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ganinv.metrics.features import FeatureRows, Features
from ganinv.seams.engine import SumReduce


class References(Protocol):
    """Where features of the held-out images lie between evaluations. Rank 0 alone asks it."""

    def load(self, features: Features) -> Tensor | None:
        """N × F, float32; None if there are none that can be trusted."""
        ...

    def save(self, features: Features, feature_NF: Tensor) -> None:
        """Keep these, float32, for later evaluations."""
        ...


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Images that the model was not trained on; at most a batch of them is asked for at once."""

    count: int
    """Damaged ones included."""
    resolution: int
    """Pixels a side."""
    read: Callable[[range], tuple[Sequence[int], Tensor]]
    """Numbers below `count` → those whose images are not damaged, and these, uint8 B × C × H × W.
    The same ones on every rank that asks."""
    references: References | None = None
    """Where features lie between evaluations."""


class RealFeatures:
    """The features of all held-out images, on every rank; `first` marks rank 0.

    Those of networks with a hash are kept from one evaluation to the next, here and in the
    references; features that change with the run never are. All ranks call each method together.
    """

    def __init__(self, held_out: HeldOut, *, first: bool, reduce: SumReduce) -> None:
        self._held_out = held_out
        self._references = held_out.references if first else None
        self._reduce = reduce
        self._kept: dict[str, Tensor] = {}  # N × F, float32

    def known(self, features: Features) -> Tensor | None:
        """Features that need not be extracted, N × F, float32; None if there are none."""
        if features.sha256 is None:
            return None
        if features.name not in self._kept:
            found_NF = self._references.load(features) if self._references else None
            # What rank 0 has found decides for all: another rank might find something else.
            there = torch.tensor(float(found_NF is not None), dtype=torch.float64)
            if self._reduce(there) > 0:
                rows = FeatureRows(self._held_out.count)
                if found_NF is not None:
                    rows.put(range(self._held_out.count), found_NF)
                self._kept[features.name] = rows.gathered(self._reduce).float()
        return self._kept.get(features.name)

    def gathered(self, features: Features, rows: FeatureRows, good_N: Tensor) -> Tensor:
        """The features of all ranks' `rows`, or the known ones, where `good_N`: float64, … × F.

        They are kept only if no image is damaged, for a damaged one may be mended.
        """
        kept_NF = self._kept.get(features.name)
        if kept_NF is not None:
            return kept_NF.double()[good_N]
        feature_NF = rows.gathered(self._reduce)
        if features.sha256 is not None and bool(good_N.all()):
            self._kept[features.name] = feature_NF.float()
            if self._references is not None:
                self._references.save(features, feature_NF.float())
        return feature_NF[good_N]
