"""Codes of conditional models: a code of another kind, then a label as its last elements.

    code_BL    B × (L + K)   the code z, and one element for each of K classes
    label_BK   B × K         1 at the class of the image, 0 elsewhere

The label of a code is its largest element among the last K, so that codes may be edited, averaged
and stored like all others: an edit that leaves these elements alone keeps the label, and halfway
between two codes it changes from one to the other. No gradient reaches the label.

Shapes: B samples, L elements of the code without its label, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from ganinv.draws import stream
from ganinv.errors import ConfigError, DataError
from ganinv.latents.base import Latent, LatentTensors

LEAST_CLASSES = 2
Labels = str | Sequence[str]  # one class for all images, or that of each


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """The attribute of the data whose classes are the labels; `data.label` sets all of it."""

    attribute: str | None = None  # None: images have no labels
    classes: list[str] = field(default_factory=list)  # in the order of the label's elements
    counts: list[int] = field(default_factory=list)  # training images of each class

    def __post_init__(self) -> None:
        if self.attribute is None and not self.classes:
            return
        if len(set(self.classes)) < max(LEAST_CLASSES, len(self.classes)):
            raise ConfigError(
                f"condition.classes = {self.classes}: a label needs at least {LEAST_CLASSES} "
                "different classes; choose another attribute, or train without data.label"
            )
        if len(self.counts) != len(self.classes) or min(self.counts) < 0 or not any(self.counts):
            raise ConfigError(
                f"condition.counts = {self.counts}: must be one number of images for each of "
                f"{len(self.classes)} classes; leave condition to data.label"
            )

    def __bool__(self) -> bool:
        return bool(self.classes)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Implements `latents.base.Latent` for codes of another latent with a label."""

    inner: Latent
    classes: tuple[str, ...]
    counts: tuple[int, ...]

    @property
    def size(self) -> int:
        return self.inner.size + len(self.classes)

    def prior(self, seed: int, purpose: str, image_numbers: Sequence[int]) -> Tensor:
        """Codes of the inner prior with labels at random, B × (L + K)."""
        code_BL = self.draw(seed, purpose, image_numbers)
        return self.with_label(code_BL, self.labels(seed, image_numbers))

    def draw(self, seed: int, purpose: str, image_numbers: Sequence[int]) -> Tensor:
        """Codes of the inner prior with a label of zeros: added to a code, they keep its label."""
        code_BL = self.inner.draw(seed, purpose, image_numbers)
        return F.pad(code_BL, (0, len(self.classes)))

    def labels(self, seed: int, image_numbers: Sequence[int]) -> Tensor:
        """Labels at random, each as often as in the training data, B × K.

        Codes drawn for different purposes have the same one: both ends of a path of `path_length`.
        """
        ends = torch.tensor(self.counts, dtype=torch.float64).cumsum(0)
        drawn = [stream(seed, "label", number).random() for number in image_numbers]
        at_B = torch.searchsorted(ends, torch.tensor(drawn) * ends[-1], right=True)
        return F.one_hot(at_B.clamp(max=len(self.classes) - 1), len(self.classes)).float()

    def with_label(self, code_BL: Tensor, label_BK: Tensor) -> Tensor:
        """The codes with other labels."""
        return torch.cat([self.without_label(code_BL), label_BK.to(code_BL)], 1)

    def without_label(self, code_BL: Tensor) -> Tensor:
        return code_BL[:, : self.inner.size]

    def label_of(self, code_BL: Tensor) -> Tensor:
        """The label of each code as zeros and a one, B × K, without gradient."""
        return one_at_largest(code_BL[:, self.inner.size :])

    @property
    def entering(self) -> str:
        return f"{self.inner.entering}, and label" if self.inner.entering else ""

    def to_generator(self, code_BL: Tensor, tensors: LatentTensors) -> Tensor:
        entering_BL = self.inner.to_generator(self.without_label(code_BL), tensors)
        return torch.cat([entering_BL, self.label_of(code_BL)], 1)

    def to_code(self, entering_BL: Tensor, tensors: LatentTensors) -> Tensor:
        code_BL = self.inner.to_code(self.without_label(entering_BL), tensors)
        return torch.cat([code_BL, self.label_of(entering_BL)], 1)

    def interpolate(self, code_BL: Tensor, other_BL: Tensor, share_B: Tensor) -> Tensor:
        """The way of the inner latent; the label changes halfway."""
        way_BL = self.inner.interpolate(
            self.without_label(code_BL), self.without_label(other_BL), share_B
        )
        label_BK, other_BK = (self.label_of(codes).double() for codes in (code_BL, other_BL))
        return torch.cat([way_BL, label_BK.lerp(other_BK, share_B.double()[:, None])], 1)

    def error(self, code_BL: Tensor, other_BL: Tensor, tensors: LatentTensors) -> Tensor:
        """The inner latent's; labels do not count."""
        return self.inner.error(self.without_label(code_BL), self.without_label(other_BL), tensors)

    def spread(self, tensors: LatentTensors) -> Tensor:
        """The inner latent's, and 0 for the label: it is no direction to move along."""
        return F.pad(self.inner.spread(tensors), (0, len(self.classes)))


def one_at_largest(score_BK: Tensor) -> Tensor:
    """1 at the largest of K numbers, 0 elsewhere, without gradient."""
    numbers_K = torch.arange(score_BK.shape[1], device=score_BK.device)
    return (score_BK.argmax(1, keepdim=True) == numbers_K).to(score_BK)


def label_columns(classes: Sequence[str], label: Labels, count: int) -> Tensor:
    """The labels of `count` codes, B × K.

    Raises `ConfigError` for a class that is not among `classes` or if there are none, and
    `DataError` for a list of another length.
    """
    number_of = {name: number for number, name in enumerate(checked_classes(classes))}
    names = [label] * count if isinstance(label, str) else list(label)
    if len(names) != count:
        raise DataError(f"label: {len(names)} labels for {count} codes; give one for each, or one")
    for name in names:
        if name not in number_of:
            raise ConfigError(
                f"label = {name!r}: this model knows {', '.join(classes)}; choose one of them"
            )
    return F.one_hot(torch.tensor([number_of[name] for name in names]), len(classes)).float()


def checked_classes(classes: Sequence[str]) -> Sequence[str]:
    """Raises `ConfigError` if there are none."""
    if not classes:
        raise ConfigError(
            "label: this model was trained without labels; leave it out, or train with "
            "data.label=ATTRIBUTE"
        )
    return classes
