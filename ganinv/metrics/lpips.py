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

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.metrics.base import Figure, FurtherMetric, LoadedPairMetric, PairMetric
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
    """The distance of each pair, B. Images of one channel count as grey."""
    shift, scale = (image_BCHW.new_tensor(values)[:, None, None] for values in (SHIFT, SCALE))
    both = [(x.expand(-1, 3, -1, -1) - shift) / scale for x in (image_BCHW, other_BCHW)]
    total_B = image_BCHW.new_zeros(len(image_BCHW))
    for y_BCHW, other, head_C in zip(*(trunk(x) for x in both), head_lC, strict=True):
        squared = (_unit(y_BCHW) - _unit(other)).square()
        total_B = total_B + torch.einsum("bchw,c->bhw", squared, head_C).mean((1, 2))
    return total_B


def _unit(y_BCHW: Tensor) -> Tensor:
    return y_BCHW / (y_BCHW.square().sum(1, keepdim=True).sqrt() + LEAST_LENGTH)


def load(path: Path, heads_path: Path | None, device: torch.device | str) -> LoadedPairMetric:
    """LPIPS with the trunk in one file, and the heads in another, or (None) in the same.

    Raises `ConfigError`, with the option and what is wrong, for files that do not fit.
    """
    weights = read_weights(path, KEY)
    name, trunk = trunk_of(weights, path, KEY)
    key, heads_at = (KEY, path) if heads_path is None else (HEADS_KEY, heads_path)
    heads = weights if heads_path is None else read_weights(heads_path, HEADS_KEY)
    head_lC = _heads(heads, trunk, f"{key} = {heads_at}")
    trunk.to(device)
    head_lC = [head.to(device) for head in head_lC]

    @torch.no_grad()
    def function(image_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        return lpips(trunk, head_lC, image_BCHW.float(), other_BCHW.float()).double()

    files = dict.fromkeys((path, heads_at))
    return LoadedPairMetric(
        metric=PairMetric(
            figure=FIGURES[name], function=function, least_pixels=trunk.plan.least_pixels
        ),
        network=f"LPIPS on {trunk.plan.title}: {', '.join(map(str, files))}",
        sha256=_sha256(list(files)),
    )


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
