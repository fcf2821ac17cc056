"""VGG16 and AlexNet up to their last convolution, with weights from a file that the user names.

The weights are those of torchvision's models (keys `features.0.weight` …) or of a whole LPIPS
network (keys `net.slice1.0.weight` …), saved by `torch.save` or as safetensors. Shapes: B images, C
× H × W.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ganinv.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A trunk: its layers, and those of them whose outputs are used."""

    title: str
    layers: tuple[
        tuple[int, int, int, int] | str, ...
    ]  # channels, kernel, stride, padding; or pool
    pool: int  # kernel of the poolings, in pixels; their stride is 2
    taps: tuple[int, ...]  # numbers of the layers that are used, all of them ReLUs
    least_pixels: int  # per side of an image


def _three(*channels: int | str) -> tuple[tuple[int, int, int, int] | str, ...]:
    return tuple(c if isinstance(c, str) else (c, 3, 1, 1) for c in channels)


PLANS: Mapping[str, Plan] = {
    "vgg": Plan(
        title="VGG16",
        layers=_three(
            64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool",
            512, 512, 512,
        ),
        pool=2,
        taps=(3, 8, 15, 22, 29),
        least_pixels=16,
    ),
    "alex": Plan(
        title="AlexNet",
        layers=(
            (64, 11, 4, 2), "pool", (192, 5, 1, 2), "pool", *_three(384, 256, 256),
        ),
        pool=3,
        taps=(1, 4, 7, 9, 11),
        least_pixels=31,
    ),
}  # fmt: skip


class Trunk(nn.Module):
    """The layers of a plan, numbered as in torchvision's `features`."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        modules: list[nn.Module] = []
        before = 3
        for layer in plan.layers:
            if isinstance(layer, str):
                modules.append(nn.MaxPool2d(plan.pool, 2))
                continue
            channels, kernel, stride, padding = layer
            modules += [nn.Conv2d(before, channels, kernel, stride, padding), nn.ReLU()]
            before = channels
        self.features = nn.Sequential(*modules)

    @property
    def channels(self) -> list[int]:
        """Numbers of channels of the outputs."""
        convolutions = [self.features[tap - 1] for tap in self.plan.taps]
        return [layer.out_channels for layer in convolutions if isinstance(layer, nn.Conv2d)]

    def forward(self, image_BCHW: Tensor) -> list[Tensor]:
        """The outputs at the taps, first to last."""
        found = []
        for number, layer in enumerate(self.features):
            image_BCHW = layer(image_BCHW)
            if number in self.plan.taps:
                found.append(image_BCHW)
        return found


def read_weights(path: Path, key: str) -> dict[str, Tensor]:
    """The tensors in a file, on the CPU. `key` names the option in errors.

    Nothing in the file is executed. Raises `ConfigError` for a file that holds no tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError,
        safetensors.SafetensorError,
    ) as error:  # fmt: skip
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ConfigError(
            f"{key} = {path}: holds no weights that can be read ({reason}); give a state_dict that "
            "torch.save has written, or a .safetensors file"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise ConfigError(
            f"{key} = {path}: holds {type(found).__name__} instead of tensors by name; save the "
            "state_dict of the network"
        )
    return found


def trunk_of(weights: Mapping[str, Tensor], path: Path, key: str) -> tuple[str, Trunk]:
    """The trunk with these weights, frozen, and its name in `PLANS`: its first layer tells which.

    `path` and `key` name the file and the option in errors. Raises `ConfigError` if a weight is
    missing or has another shape.
    """
    renamed = {_in_features(name): tensor for name, tensor in weights.items()}
    first = renamed.get("features.0.weight")
    kernels: Mapping[tuple[int, ...], str] = {(64, 3, 3, 3): "vgg", (64, 3, 11, 11): "alex"}
    name = kernels.get(tuple(first.shape)) if first is not None else None
    if name is None:
        found = "has no" if first is None else f"has a {_shape(first)}"
        raise ConfigError(
            f"{key} = {path}: {found} weight features.0.weight, so it is neither VGG16 (64 × 3 × 3 "
            "× 3) nor AlexNet (64 × 3 × 11 × 11); give the state_dict of torchvision's vgg16 or "
            "alexnet"
        )
    trunk = Trunk(PLANS[name])
    for wanted, tensor in trunk.state_dict().items():
        check_shape(renamed.get(wanted), tensor, wanted, f"{key} = {path}", PLANS[name].title)
    trunk.load_state_dict({wanted: renamed[wanted].float() for wanted in trunk.state_dict()})
    return name, trunk.requires_grad_(False).eval()


def check_shape(found: Tensor | None, wanted: Tensor, name: str, where: str, what: str) -> None:
    """Raises `ConfigError` if a weight is missing or does not have the wanted shape."""
    if found is None or found.shape != wanted.shape:
        is_there = "is missing" if found is None else f"is {_shape(found)}"
        raise ConfigError(
            f"{where}: the weight {name} {is_there}, but {what} needs {_shape(wanted)}; give the "
            "whole state_dict of that network"
        )


def _in_features(name: str) -> str:
    """`net.slice2.5.weight` of LPIPS is `features.5.weight` of torchvision."""
    parts = name.split(".")
    return ".".join(["features", *parts[2:]]) if name.startswith("net.slice") else name


def _shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape))
