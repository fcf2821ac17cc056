"""Feature networks for metrics, and the gathering of features over ranks.

Every feature network takes uint8 images. Generated images are clamped and rounded first, so that
real and generated images get the same treatment. Networks that see RGB get other images as
`ganinv.pictures.to_rgb` draws them.

Shapes: B images of a batch, N of a set, C × H × W pixels, F features.
"""

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from ganinv.errors import ConfigError
from ganinv.metrics.base import INCEPTION
from ganinv.model import InvertibleGan
from ganinv.pictures import to_rgb, to_signed
from ganinv.seams.engine import SumReduce

INCEPTION_PIXELS = 299  # per side
INCEPTION_FEATURES = 2048
PIXEL_GRID = 16  # pixels per side of the pixel features


@dataclass(frozen=True, kw_only=True)
class Features:
    """A feature network, and the facts to record beside every figure on its features."""

    name: str  # suffix of the figures' names
    network: str  # origin of the network
    sha256: str | None  # of its weights' file, if there is one
    resize: str  # how images are resized for the network
    # uint8 B × C × H × W → B × F, on the same device. Path lengths pass floats around 0 … 255.
    extract: Callable[[Tensor], Tensor]


class FeatureRows:
    """Features of `count` images. Each rank puts its batches, in any order."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._rows_NF: Tensor | None = None

    def put(self, numbers: Sequence[int], feature_BF: Tensor) -> None:
        """Store the features of the images with these numbers, each below `count`."""
        if self._rows_NF is None:
            self._rows_NF = torch.zeros(self._count, feature_BF.shape[1])
        self._rows_NF[list(numbers)] = feature_BF.float().cpu()

    def gathered(self, reduce: SumReduce) -> Tensor:
        """All ranks' rows in order of the numbers, N × F, float32. All ranks call this together.

        The bits do not depend on the number of ranks: each row is the row of one rank plus zeros.
        """
        own = 0 if self._rows_NF is None else self._rows_NF.shape[1]
        holders = reduce(torch.tensor([own, own > 0], dtype=torch.float64))
        size = int(holders[0] / holders[1])  # a rank that held no image does not know F
        rows = torch.zeros(self._count, size) if self._rows_NF is None else self._rows_NF
        return reduce(rows)


def pixel_features() -> Features:
    """The image itself, averaged down to at most 16 × 16 pixels in [−1, 1], without a network."""
    return Features(
        name="pixels",
        network="none",
        sha256=None,
        resize=f"mean over boxes, to at most {PIXEL_GRID} × {PIXEL_GRID}",
        extract=_pixels,
    )


def own_features(model: InvertibleGan, origin: str) -> Features | None:
    """The features of the model's own networks, averaged over pixels; None if it has none.

    `origin` names the checkpoint. The network changes during training, so figures of different
    checkpoints or runs are not comparable.
    """
    source = model.codec.feature_source
    if source is None:
        return None

    @torch.no_grad()
    def extract(image_BCHW: Tensor) -> Tensor:
        return model.codec.features(to_signed(image_BCHW))

    return Features(
        name="own",
        network=f"{source}, of {origin}",
        sha256=None,
        resize="none",
        extract=extract,
    )


def inception_features(path: Path, device: torch.device) -> Features:
    """FID's Inception (the TensorFlow graph of 2015), as a TorchScript file.

    The network takes B × 3 × 299 × 299 in 0 … 255 and normalises its input itself. If its `forward`
    has an argument `return_features`, it is set to True. `resize_as_2015` resizes images as that
    graph does. Raises `ConfigError` for a file that cannot be loaded or does not give 2048
    features.
    """
    try:
        script = torch.jit.load(str(path), map_location=device).eval()
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"evaluate.inception = {path}: not a TorchScript file that can be loaded "
            f"({str(error).partition('. ')[0]}); give the Inception of 2015 as TorchScript"
        ) from error
    arguments = {argument.name for argument in script.forward.schema.arguments}
    switches = {"return_features": True} if "return_features" in arguments else {}

    @torch.no_grad()
    def extract(image_BCHW: Tensor) -> Tensor:
        resized = resize_as_2015(to_rgb(image_BCHW, 0, 255))
        feature_BF: Tensor = script(resized, **switches).flatten(1)
        if feature_BF.shape[1] != INCEPTION_FEATURES:
            raise ConfigError(
                f"evaluate.inception = {path}: gives {feature_BF.shape[1]} features an image, "
                f"but FID needs {INCEPTION_FEATURES}; give the Inception of 2015 up to pool 3"
            )
        return feature_BF

    return Features(
        name=INCEPTION,
        network=str(path),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        resize=f"bilinear as in TensorFlow 1, {INCEPTION_PIXELS} × {INCEPTION_PIXELS}",
        extract=extract,
    )


def resize_as_2015(image_BCHW: Tensor) -> Tensor:
    """Bilinear resizing to 299 × 299 as in TensorFlow 1, float32 in the range of the input.

    Pixel i of the result lies at i · H / 299 of the input: corners, not centres, are aligned, and
    shrinking does not smooth.
    """
    rows, columns = (_weights(size).to(image_BCHW.device) for size in image_BCHW.shape[2:])
    return rows @ image_BCHW.float() @ columns.T


def _weights(size: int) -> Tensor:
    """Matrix of linear interpolation from `size` to 299 pixels, 299 × `size`, float32."""
    place = torch.arange(INCEPTION_PIXELS, dtype=torch.float64) * size / INCEPTION_PIXELS
    left = place.long()
    right = (left + 1).clamp(max=size - 1)
    pixel = torch.arange(size)
    share = (place - left)[:, None]
    return ((pixel == left[:, None]) * (1 - share) + (pixel == right[:, None]) * share).float()


def _pixels(image_BCHW: Tensor) -> Tensor:
    image = to_signed(image_BCHW)
    height, width = image.shape[2:]
    grid = (min(height, PIXEL_GRID), min(width, PIXEL_GRID))
    return functional.adaptive_avg_pool2d(image, grid).flatten(1)
