"""Inversion by optimisation of the point of each image (LIA eq. 13), and refinement of codes.

Paper: J. Zhu et al., "LIA: Latently Invertible Autoencoder with Adversarial Learning": descent from
f(x), from the mean and from random points. The optimiser is not stated there; Adam with rate 0.01
is that of Image2StyleGAN. Refinement is the same from E(x) alone, with fewer steps and a term that
keeps the code probable.

Shapes: N images, C × H × W pixels in [−1, 1]; points N × …; T evaluations.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.inversion.descent import Descended, DescentConfig, Progress, descend
from ganinv.inversion.loss import (
    FeatureMap,
    ImageLoss,
    PointLoss,
    feature_file,
    own_feature_map,
)
from ganinv.inversion.prior import Prior, central_code_space, mean_point
from ganinv.latents.spaces import space_named
from ganinv.metrics.lpips import load_features
from ganinv.model import InvertibleGan
from ganinv.pictures import Images

STARTS = ("encoder", "mean", "random")


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimiseConfig(DescentConfig):
    """Options of inversion by optimisation."""

    space: str | None = None  # z, u, y, y_layers …; None: nearest to the image that has codes
    starts: list[str] = field(default_factory=lambda: list(STARTS))
    random_starts: int = 4
    seed: int = 0  # of the random starts
    features: Literal["own", "none"] = "own"  # of the model's discriminator
    feature_file: str | None = None  # TorchScript: images in [−1, 1] → features; instead of own
    lpips: str | None = None  # weights of VGG16 or AlexNet with the heads of LPIPS; instead of own
    lpips_heads: str | None = None  # the heads, where they lie in a file of their own
    features_weight: float = 0.1  # β, of the relative squared error of features
    prior_weight: float = 0.0  # ρ, of the surprise of the point

    def __post_init__(self) -> None:
        DescentConfig.__post_init__(self)
        unknown = [name for name in self.starts if name not in STARTS]
        if unknown or not self.starts or len(set(self.starts)) < len(self.starts):
            raise ConfigError(
                f"starts = {self.starts}: choose among {', '.join(STARTS)}, each at most once"
            )
        if self.random_starts < 1:
            raise ConfigError(f"random_starts = {self.random_starts}: must be at least 1")
        if self.lpips is not None and self.feature_file is not None:
            raise ConfigError("lpips and feature_file: features come from one of them")
        if self.lpips_heads is not None and self.lpips is None:
            raise ConfigError(f"lpips_heads = {self.lpips_heads!r}: give lpips=FILE, too")
        if self.seed < 0:
            raise ConfigError(f"seed = {self.seed}: must be 0 or more")
        for key in ("features_weight", "prior_weight"):
            if not getattr(self, key) >= 0:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be 0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class RefineConfig(OptimiseConfig):
    """Options of refinement: the same, from the encoder, with a probable code."""

    steps: int = 200
    learning_rate: float = 0.05
    starts: list[str] = field(default_factory=lambda: ["encoder"])
    # On a small PVDGAN, codes stayed less surprising than random ones, for 0.1 dB of PSNR.
    prior_weight: float = 5e-3


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """The best point of each image over all starts.

    `loss` and `error` hold the curves of each start by name (`random-0` …): N × T, NaN after an
    image has stopped; `error` is the squared error, mean over pixels.
    """

    space: str
    point: Tensor  # N × …
    code_NL: Tensor | None  # the codes of the points; None where points have none
    image_NCHW: Tensor  # clamped
    start: tuple[str, ...]  # where the best point of each image began
    loss: Mapping[str, Tensor]
    error: Mapping[str, Tensor]
    evaluations_N: Tensor  # passes of each image through the generator, over all starts
    seconds: float  # of all images together


class Optimisation:
    """Optimises the points of images in one space of a model.

    `features`: a feature network instead of the one that `config` names. Raises `ConfigError` for
    a space or start that the model does not have, and a feature file that cannot be loaded.
    """

    def __init__(
        self, model: InvertibleGan, config: OptimiseConfig, features: FeatureMap | None = None
    ) -> None:
        self.model, self.config = model, config
        self.name = config.space or central_code_space(model.codec)
        self._space = space_named(model.codec.spaces, self.name)
        if "encoder" in config.starts and not model.encodes:
            raise ConfigError(
                f"starts = {config.starts}: this model has no encoder; start from mean and random"
            )
        self.features = features or _features(model, config)
        weighs = config.prior_weight > 0
        self._prior = Prior.of(model.codec, self._space) if weighs else None
        self._mean = mean_point(model.codec, self.name) if "mean" in config.starts else None

    @property
    def evaluations(self) -> int:
        """The most passes of one image through the generator, for progress bars."""
        return len(self._starts_named()) * (self.config.steps + 1)

    def __call__(
        self,
        images: Images,
        *,
        target_error_N: Tensor | None = None,
        progress: Progress | None = None,
    ) -> Inversion:
        """Invert images, as `InvertibleGan.encode` takes them; none depends on the others.

        An image stops at its `target_error_N`, a squared error, if that is given.
        """
        began = time.perf_counter()
        model = self.model
        real_NCHW = model.to_tensor(images).to(model.device, model.dtype)
        found: dict[str, Descended] = {}
        for name, start in self._starts(real_NCHW).items():
            parts = []
            for first in range(0, len(real_NCHW), model.batch_size):
                part = slice(first, first + model.batch_size)
                target_B = None if target_error_N is None else target_error_N[part]
                image = ImageLoss.to(real_NCHW[part], self.features, self.config.features_weight)
                loss = PointLoss(
                    space=self._space, image=image, prior=self._prior,
                    weight=self.config.prior_weight,
                )  # fmt: skip
                parts.append(
                    descend(
                        start[part], loss, self.config, target_error_N=target_B, progress=progress
                    )
                )
            found[name] = _joined(parts)
        return self._best(found, began)

    def _starts_named(self) -> list[str]:
        numbered = [f"random-{i}" for i in range(self.config.random_starts)]
        return [n for s in self.config.starts for n in (numbered if s == "random" else [s])]

    @torch.no_grad()
    def _starts(self, real_NCHW: Tensor) -> dict[str, Tensor]:
        """The start of each image by name; random starts are the same for every image."""
        model, space, count = self.model, self._space, len(real_NCHW)
        names, found = self._starts_named(), dict[str, Tensor]()
        encoded = "encoder" in names or space.fixed  # every start has the label of its image
        own = space.of_code(model.encode(real_NCHW)) if encoded else None
        for name in names:
            if name == "encoder" and own is not None:
                found[name] = own
                continue
            if self._mean is not None and name == "mean":
                point = self._mean
            else:
                number = int(name.rpartition("-")[2])
                code_1L = model.codec.prior(
                    self.config.seed, "inversion/start", range(number, number + 1)
                )
                point = space.of_code(code_1L.to(model.device, model.dtype))
            point = point.repeat(count, *[1] * (point.ndim - 1))
            found[name] = point if own is None else space.fixed_as(point, own)
        return found

    @torch.no_grad()
    def _best(self, found: Mapping[str, Descended], began: float) -> Inversion:
        names = list(found)
        loss_SN = torch.stack([path.loss_N for path in found.values()])
        best_N = loss_SN.argmin(0)
        points = [found[names[int(s)]].point[i] for i, s in enumerate(best_N)]
        point = torch.stack(points)
        to_code = self._space.to_code
        image_NCHW = torch.cat(
            [self._space.decode(part).clamp(-1, 1) for part in point.split(self.model.batch_size)]
        )
        return Inversion(
            space=self.name,
            point=point,
            code_NL=None if to_code is None else to_code(point),
            image_NCHW=image_NCHW,
            start=tuple(names[int(s)] for s in best_N),
            loss={name: path.loss_NT for name, path in found.items()},
            error={name: path.error_NT for name, path in found.items()},
            evaluations_N=torch.stack([p.evaluations_N for p in found.values()]).sum(0),
            seconds=time.perf_counter() - began,
        )


def _features(model: InvertibleGan, config: OptimiseConfig) -> FeatureMap | None:
    if config.feature_file is not None:
        return feature_file(Path(config.feature_file), "feature_file", model.device)
    if config.lpips is not None:
        heads = None if config.lpips_heads is None else Path(config.lpips_heads)
        side = min(model.image_shape[1:])
        return load_features(Path(config.lpips), heads, "lpips", side=side, device=model.device)
    return own_feature_map(model.codec) if config.features == "own" else None


def _joined(parts: list[Descended]) -> Descended:
    """The paths of all batches, as if they had been one."""
    return Descended(
        point=torch.cat([part.point for part in parts]),
        loss_N=torch.cat([part.loss_N for part in parts]),
        loss_NT=torch.cat([part.loss_NT for part in parts]),
        error_NT=torch.cat([part.error_NT for part in parts]),
        evaluations_N=torch.cat([part.evaluations_N for part in parts]),
    )
