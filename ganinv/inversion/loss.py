"""What inversion minimises, for each image by itself (LIA eq. 13).

    ‖x̃ − x‖² / CHW  +  β ‖F(x̃) − F(x)‖² / ‖F(x)‖²  +  ρ · surprise of the point

F are features with their places, by default those of the model's own discriminator. Their error is
relative, so that one β fits every network; LIA's β₁, which weighs the mean squared difference of
VGG's features, is β · d_f / ‖F(x)‖². Shapes: N images in all, B of them, F features.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ganinv.codec import Codec
from ganinv.errors import ConfigError
from ganinv.inversion.prior import Prior
from ganinv.latents.spaces import Space

FeatureMap = Callable[[Tensor], Tensor]  # images in [−1, 1] → B × F, differentiable


class Value(NamedTuple):
    """Of each image: the loss, and the squared error in it, both B."""

    loss_B: Tensor
    error_B: Tensor


@dataclass(frozen=True, kw_only=True)
class ImageLoss:
    """The distance of images from real ones, without the term of the point."""

    real_NCHW: Tensor
    features: FeatureMap | None  # None: pixels alone
    weight: float  # β
    real_NF: Tensor | None  # features of the real images

    @classmethod
    @torch.no_grad()
    def to(cls, real_NCHW: Tensor, features: FeatureMap | None, weight: float) -> "ImageLoss":
        used = features if weight else None
        real_NF = None if used is None else used(real_NCHW)
        return cls(real_NCHW=real_NCHW, features=used, weight=weight, real_NF=real_NF)

    def __call__(self, image_BCHW: Tensor, rows_B: Tensor) -> Value:
        """`rows_B`: which real image each image should equal."""
        error_B = (image_BCHW - self.real_NCHW[rows_B]).square().flatten(1).mean(1)
        if self.features is None or self.real_NF is None:
            return Value(error_B, error_B)
        real_BF = self.real_NF[rows_B]
        apart_B = (self.features(image_BCHW) - real_BF).square().sum(1)
        size_B = real_BF.square().sum(1).clamp(min=torch.finfo(real_BF.dtype).tiny)
        return Value(error_B + self.weight * apart_B / size_B, error_B)


@dataclass(frozen=True, kw_only=True)
class PointLoss:
    """The loss of points of one space."""

    space: Space
    image: ImageLoss
    prior: Prior | None  # None: the point does not count
    weight: float  # ρ

    def __call__(self, point: Tensor, rows_B: Tensor) -> Value:
        point = self.space.searched(point)
        value = self.image(self.space.decode(point), rows_B)
        if self.prior is None:
            return value
        return value._replace(loss_B=value.loss_B + self.weight * self.prior.surprise(point))


def own_feature_map(codec: Codec) -> FeatureMap | None:
    """The features of the model's own networks; None if its method has none."""
    return None if codec.feature_source is None else codec.feature_map


def feature_file(path: Path, key: str, device: torch.device) -> FeatureMap:
    """Features of a TorchScript file: images in [−1, 1], B × C × H × W → one tensor, B × ….

    `key` names the option in messages. Raises `ConfigError` for a file that cannot be loaded.
    """
    try:
        script = torch.jit.load(str(path), map_location=device).eval()
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"{key} = {path}: not a TorchScript file that can be loaded "
            f"({str(error).partition('. ')[0]}); give a network that maps images B × C × H × W in "
            "[−1, 1] to features"
        ) from error
    for parameter in script.parameters():
        parameter.requires_grad_(False)

    def features(image_BCHW: Tensor) -> Tensor:
        found: Tensor = script(image_BCHW)
        return found.flatten(1)

    return features
