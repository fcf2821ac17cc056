"""Evaluations of tiny models on random images."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganinv.evaluation.evaluator import Evaluator
from ganinv.evaluation.held_out import HeldOut, References
from ganinv.metrics.features import Features
from ganinv.model import InvertibleGan
from ganinv.pictures import to_signed
from tests.support.codecs import codec_of
from tests.support.runs import NETWORK, RandomImages, build_networks

SEED = 5


def model(**changes: Any) -> InvertibleGan:
    codec = codec_of(build_networks(), torch.linspace(0.5, 1.5, NETWORK.latent_size))
    return InvertibleGan(codec=codec, **changes)


def images(numbers: Sequence[int], resolution: int = 16) -> Tensor:
    source = RandomImages(global_batch=1, resolution=resolution)
    none = torch.zeros(0, 3, resolution, resolution, dtype=torch.uint8)
    return torch.stack([source.image(number) for number in numbers]) if numbers else none


@dataclass
class CountedFeatures:
    """A feature network with a hash: means over rows of pixels. Counts what it is given."""

    seen: int = 0

    def features(self, sha256: str | None = "ab" * 32) -> Features:
        return Features(name="counted", network="test", sha256=sha256, resize="none", extract=self)

    def __call__(self, image_BCHW: Tensor) -> Tensor:
        assert image_BCHW.dtype == torch.uint8
        self.seen += len(image_BCHW)
        return to_signed(image_BCHW).mean(3).flatten(1)


@dataclass
class KeptFeatures:
    """A member of `ganinv.evaluation.held_out.References`, in memory."""

    kept: dict[str, Tensor] = field(default_factory=dict)

    def load(self, features: Features) -> Tensor | None:
        return self.kept.get(features.name)

    def save(self, features: Features, feature_NF: Tensor) -> None:
        assert features.name not in self.kept
        self.kept[features.name] = feature_NF


def evaluator(
    held_out: int,
    generated: int,
    references: References | None = None,
    damaged: Collection[int] = (),
    attributes: Callable[[range], Sequence[Mapping[str, Any]]] | None = None,
    **more: Any,
) -> Evaluator:
    """`damaged`: numbers of held-out images that cannot be read."""

    def read(numbers: range) -> tuple[list[int], Tensor]:
        good = [number for number in numbers if number not in damaged]
        return good, images(good)

    there = HeldOut(
        count=held_out, resolution=16, read=read, references=references, attributes=attributes
    )
    return Evaluator(there, generated=generated, seed=SEED, **more)
