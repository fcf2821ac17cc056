"""Networks whose features a method's loss compares (`objectives.base.FeatureNetwork`).

    lite0   EfficientNet-Lite0, as evaluations use it, but its last map as it is, not its mean
    vgg16   VGG16 up to conv4_3 and its ReLU (Simonyan and Zisserman, 2015), from a user's file

Shapes: B samples, F features, C × H × W image in [−1, 1], C = 1 or 3.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv.errors import ConfigError
from ganinv.objectives.base import FeatureNetwork
from launch.evaluation.feature_networks import LITE0_PIXELS, lite0_network

LEAST_PIXELS = 64  # of an image's longer side in lite0, whose last map has 1/32 of them
VGG_PIXELS = 256  # at most, of the longer side; as in LIA's code
KEY = "objective.perceptual"
# Channels in and out of VGG16's convolutions up to conv4_3; a pooling comes before those marked.
VGG16 = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)]
VGG16 += [(512, 512), (512, 512)]
POOLED_BEFORE = (2, 4, 7)
MEAN_255 = (123.68, 116.779, 103.939)  # of ImageNet's pixels, red first
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's


def feature_network(wanted: FeatureNetwork, image_channels: int) -> nn.Module:
    """The network, frozen, on the CPU. Raises `ConfigError` if it cannot be had."""
    if image_channels not in (1, 3):
        raise ConfigError(
            f"{KEY} = {wanted.name!r}: sees images of 1 or 3 channels, and these have "
            f"{image_channels}; give {KEY}=none"
        )
    network: nn.Module
    if wanted.name == "lite0":
        network = Lite0Map(lite0_network(KEY, torch.device("cpu"))[0])
    else:
        assert wanted.file is not None, "the method's options ask for it"
        network = Vgg16(convolutions_of(Path(wanted.file)), wanted.pixels)
    return network.requires_grad_(False).eval()


class Lite0Map(nn.Module):
    """Image → the last map of EfficientNet-Lite0, flattened."""

    network: Any

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_BCHW: Tensor) -> Tensor:
        byte_BCHW = _bytes(_sized(image_BCHW, LEAST_PIXELS, LITE0_PIXELS))
        feature_BCHW: Tensor = self.network.extract_features((byte_BCHW - 127) / 128)
        return feature_BCHW.flatten(1)

    def train(self, mode: bool = True) -> "Lite0Map":
        """Its batch normalisation always uses the statistics that it was trained with."""
        del mode
        super().train(False)
        return self


class Vgg16(nn.Module):
    """Image → conv4_3 of VGG16 after its ReLU, flattened. `pixels`: see LIA's options."""

    mean_C11: Tensor
    deviation_C11: Tensor

    def __init__(self, convolutions: list[tuple[Tensor, Tensor]], pixels: str) -> None:
        super().__init__()
        self.weights = nn.ParameterList(weight for weight, _ in convolutions)
        self.biases = nn.ParameterList(bias for _, bias in convolutions)
        self.pixels = pixels
        # Constants, and so not among the weights of checkpoints.
        mean = [255 * m for m in MEAN] if pixels == "imagenet" else MEAN_255
        deviation = [255 * d for d in DEVIATION] if pixels == "imagenet" else (1.0, 1.0, 1.0)
        for name, values in (("mean", mean), ("deviation", deviation)):
            constant_C11 = torch.tensor(values)[:, None, None]
            self.register_buffer(f"{name}_C11", constant_C11, persistent=False)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        x_BCHW = self._input(_bytes(_sized(image_BCHW, 0, VGG_PIXELS)))
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if number in POOLED_BEFORE:
                x_BCHW = F.max_pool2d(x_BCHW, 2)
            x_BCHW = F.conv2d(x_BCHW, weight, bias, padding=1).relu()
        return x_BCHW.flatten(1)

    def _input(self, byte_BCHW: Tensor) -> Tensor:
        x_BCHW = (byte_BCHW - self.mean_C11) / self.deviation_C11
        return x_BCHW.flip(1) if self.pixels == "bgr" else x_BCHW


def convolutions_of(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of VGG16's first ten convolutions, whatever the file calls them.

    Raises `ConfigError` for a file that is missing, cannot be read or holds other convolutions.
    """
    tensors = _tensors(path)
    by_number = sorted(tensors, key=lambda name: [_part(part) for part in re.split(r"(\d+)", name)])
    weights = [name for name in by_number if tensors[name].ndim == 4][: len(VGG16)]
    found = [tuple(tensors[name].shape) for name in weights]
    if found != [(out, into, 3, 3) for into, out in VGG16]:
        raise ConfigError(
            f"{KEY}_file = {str(path)!r}: its first convolutions are not those of VGG16 "
            f"({', '.join(map(str, found[:3])) or 'there are none'} …); give VGG16's weights as "
            "TorchScript or safetensors"
        )
    biases = [name.removesuffix("weight") + "bias" for name in weights]
    if missing := [name for name in biases if name not in tensors]:
        raise ConfigError(f"{KEY}_file = {str(path)!r}: lacks {missing[0]}; give all of VGG16")
    return [(tensors[w].float(), tensors[b].float()) for w, b in zip(weights, biases, strict=True)]


def _part(text: str) -> tuple[int, str]:
    """Numbers in names sort as numbers: features.2 before features.10."""
    return (int(text), "") if text.isdecimal() else (-1, text)


def _tensors(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        scripted: Mapping[str, Tensor] = torch.jit.load(str(path), map_location="cpu").state_dict()
    except (OSError, RuntimeError, ValueError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"{KEY}_file = {str(path)!r}: cannot be read ({reason}); give VGG16's weights as "
            "TorchScript or safetensors, on every node at this path"
        ) from error
    return scripted


def _sized(image_BCHW: Tensor, least: int, most: int) -> Tensor:
    """The image with a longer side of at least `least` and at most `most` pixels."""
    longer = max(image_BCHW.shape[2:])
    wanted = min(max(longer, least), most)
    if wanted == longer:
        return image_BCHW
    size = [max(1, round(side * wanted / longer)) for side in image_BCHW.shape[2:]]
    return F.interpolate(image_BCHW, size, mode="bilinear", antialias=True)


def _bytes(image_BCHW: Tensor) -> Tensor:
    """Pixels in 0…255, three channels."""
    byte_BCHW = (image_BCHW.float() + 1) * 127.5
    return byte_BCHW.expand(-1, 3, -1, -1)
