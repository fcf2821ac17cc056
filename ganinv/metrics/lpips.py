"""LPIPS: the distance between two images on learned weights of a network's layers.

Paper: R. Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
CVPR 2018, eq. 1, version 0.1 of the authors' weights:

    d(x, x′) = Σ_l mean over pixels of Σ_c w_lc (ŷ_lc − ŷ′_lc)²

ŷ_l: the outputs of layer l (five ReLUs of VGG16 or AlexNet), each pixel's vector over the channels
divided by its length. w_l ≥ 0 are the linear heads. Neither trunk nor heads come with this program:
the user names their files. The figure has the trunk's name, `lpips_vgg` or `lpips_alex`, as the two
are not comparable.

Shapes: B images, C × H × W in [−1, 1].
"""

import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.metrics.base import Figure, FurtherMetric, LoadedPairMetric, PairMetric
from ganinv.pictures import to_rgb
from ganinv.saved.trunks import PLANS, Trunk, check_shape, read_weights, trunk_of

KEY, HEADS_KEY = "evaluate.lpips", "evaluate.lpips_heads"  # options, for errors
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the trunk's input, by channel
LEAST_LENGTH = 1e-10  # added to the length of a vector over the channels

FIGURES = {
    name: Figure(name=f"lpips_{name}", higher_is_better=False, meaning=f"LPIPS on {plan.title}")
    for name, plan in PLANS.items()
}


def lpips(
    trunk: Trunk, head_lC: Sequence[Tensor], image_BCHW: Tensor, other_BCHW: Tensor
) -> Tensor:
    """The distance of each pair, B. Images count as `to_rgb` says."""
    features, other = (weighted_features(trunk, head_lC, x) for x in (image_BCHW, other_BCHW))
    return (features - other).square().sum(1)


def weighted_features(trunk: Trunk, head_lC: Sequence[Tensor], image_BCHW: Tensor) -> Tensor:
    """√(w_l / H_l W_l) ŷ_l of all layers, B × F: d is the squared distance of two of them."""
    shift, scale = (image_BCHW.new_tensor(values)[:, None, None] for values in (SHIFT, SCALE))
    layers = trunk((to_rgb(image_BCHW) - shift) / scale)
    parts = []
    for y_BCHW, head_C in zip(layers, head_lC, strict=True):
        weight_C = (head_C / math.prod(y_BCHW.shape[2:])).sqrt()
        parts.append((_unit(y_BCHW) * weight_C[:, None, None]).flatten(1))
    return torch.cat(parts, 1)


def _unit(y_BCHW: Tensor) -> Tensor:
    return y_BCHW / (y_BCHW.square().sum(1, keepdim=True).sqrt() + LEAST_LENGTH)


def load(path: Path, heads_path: Path | None, device: torch.device | str) -> LoadedPairMetric:
    """LPIPS with the trunk in one file, and the heads in another, or (None) in the same.

    Raises `ConfigError`, with the option and what is wrong, for files that do not fit.
    """
    name, trunk, head_lC = _network(path, heads_path, KEY, HEADS_KEY, device)

    @torch.no_grad()
    def function(image_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        return lpips(trunk, head_lC, image_BCHW.float(), other_BCHW.float()).double()

    files = dict.fromkeys((path, heads_path or path))
    return LoadedPairMetric(
        metric=PairMetric(
            figure=FIGURES[name], function=function, least_pixels=trunk.plan.least_pixels
        ),
        network=f"LPIPS on {trunk.plan.title}: {', '.join(map(str, files))}",
        sha256=_sha256(list(files)),
    )


def load_features(
    path: Path, heads_path: Path | None, key: str, *, side: int, device: torch.device | str
) -> Callable[[Tensor], Tensor]:
    """`weighted_features` of files, differentiable, for images of so many pixels per shorter side.

    `key` and `key`_heads name the files in errors. Raises `ConfigError` for files that do not fit,
    and for images that are too small for the trunk.
    """
    _, trunk, head_lC = _network(path, heads_path, key, f"{key}_heads", device)
    if side < trunk.plan.least_pixels:
        raise ConfigError(
            f"{key} = {path}: {trunk.plan.title} needs images of {trunk.plan.least_pixels} pixels "
            f"per side, and those of this model have {side}; use the features of the model itself"
        )
    return functools.partial(weighted_features, trunk, head_lC)


def _network(
    path: Path, heads_path: Path | None, key: str, heads_key: str, device: torch.device | str
) -> tuple[str, Trunk, list[Tensor]]:
    """The trunk's name, the trunk and its heads."""
    weights = read_weights(path, key)
    name, trunk = trunk_of(weights, path, key)
    where, at = (key, path) if heads_path is None else (heads_key, heads_path)
    heads = weights if heads_path is None else read_weights(heads_path, heads_key)
    head_lC = _heads(heads, trunk, f"{where} = {at}")
    return name, trunk.to(device), [head.to(device) for head in head_lC]


def _heads(weights: dict[str, Tensor], trunk: Trunk, where: str) -> list[Tensor]:
    """The weights of the heads, in the order of the layers."""
    found = []
    for layer, channels in enumerate(trunk.channels):
        name = f"lin{layer}.model.1.weight"  # 0 is a dropout, which some networks lack
        head = weights.get(name, weights.get(f"lin{layer}.model.0.weight"))
        check_shape(
            head, torch.empty(1, channels, 1, 1), name, where, f"LPIPS on {trunk.plan.title}"
        )
        assert head is not None
        if (head < 0).any():
            raise ConfigError(
                f"{where}: the weight {name} has negative values, so it is no head of LPIPS; give "
                "the authors' weights of version 0.1"
            )
        found.append(head.float().flatten())
    return found


def _sha256(paths: Sequence[Path]) -> str:
    """The hash of a file, or of the hashes of several."""
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


METRIC = FurtherMetric(figures=tuple(FIGURES.values()), suffix="images")
