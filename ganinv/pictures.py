"""Converts between Pillow images and tensors. Shapes: B images, C × H × W pixels in [−1, 1].

Photographs are cropped and resized as for training (`resizing.py`).
Pillow is imported inside the functions that need it, because it is optional.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ganinv.errors import ConfigError, DataError
from ganinv.resizing import resize_photograph

if TYPE_CHECKING:
    from PIL.Image import Image

# Input of a model: a float tensor B × C × H × W, one picture, or several.
Images: TypeAlias = "Tensor | Image | Sequence[Image]"
SLACK = 1e-3  # tolerance beyond [−1, 1], for arithmetic in half precision
RGB_CHANNELS = 3


def to_signed(image_BCHW: Tensor) -> Tensor:
    """uint8 → float32 in [−1, 1] (PVDGAN §3)."""
    return image_BCHW.float() / 127.5 - 1


def to_bytes(image_BCHW: Tensor) -> Tensor:
    """[−1, 1] → uint8, rounded; values outside are clamped."""
    return ((image_BCHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def to_pictures(image_BCHW: Tensor) -> "list[Image]":
    """A batch in [−1, 1] as Pillow images, grey or RGB.

    Raises `ConfigError` if Pillow is missing, and `DataError` for another number of channels.
    """
    _need_pillow()
    from PIL.Image import fromarray

    if image_BCHW.ndim != 4 or image_BCHW.shape[1] not in (1, RGB_CHANNELS):
        raise DataError(
            f"images of shape {tuple(image_BCHW.shape)}: pictures need B × 1 × H × W (grey) or "
            "B × 3 × H × W (RGB)"
        )
    image_BHWC = to_bytes(image_BCHW).permute(0, 2, 3, 1).cpu().numpy()
    if image_BCHW.shape[1] == 1:
        image_BHWC = image_BHWC.squeeze(3)  # Pillow's shape of grey images
    return [fromarray(image) for image in image_BHWC]


def to_images(images: Images, *, channels: int, resolution: int) -> Tensor:
    """A user's images as a batch B × C × H × W in [−1, 1]; pictures are cropped and resized.

    Raises `DataError` for a tensor of another shape, type or range, and `ConfigError` for pictures
    if Pillow is missing or the model's images are not RGB.
    """
    if isinstance(images, Tensor):
        _check(images, (channels, resolution, resolution))
        return images
    _need_pillow()
    from PIL.Image import Image

    pictures = list(images) if isinstance(images, Sequence) else [images]
    if not pictures or not all(isinstance(picture, Image) for picture in pictures):
        kinds = sorted({type(picture).__name__ for picture in pictures}) or ["nothing"]
        raise DataError(
            f"images: {', '.join(kinds)} cannot be converted; give a float tensor B × {channels} × "
            f"{resolution} × {resolution} in [−1, 1], a Pillow image or a list of them"
        )
    if channels != RGB_CHANNELS:
        raise ConfigError(
            f"images: this model takes {channels} channels, but pictures have {RGB_CHANNELS}; give "
            f"a float tensor B × {channels} × {resolution} × {resolution} in [−1, 1]"
        )
    square_BHWC = np.stack(
        [np.asarray(resize_photograph(picture, resolution, resolution)) for picture in pictures]
    )
    return to_signed(torch.from_numpy(square_BHWC).permute(0, 3, 1, 2))


def _check(image_BCHW: Tensor, expected_CHW: tuple[int, int, int]) -> None:
    shape, size = tuple(image_BCHW.shape), " × ".join(map(str, expected_CHW))
    if len(shape) != 4 or shape[1:] != expected_CHW or not shape[0]:
        raise DataError(
            f"images of shape {shape}: this model takes B × {size}; crop and resize them, or give "
            "Pillow images, which are cropped and resized here"
        )
    if not image_BCHW.is_floating_point():
        raise DataError(
            f"images of type {image_BCHW.dtype}: give floats in [−1, 1]; convert bytes by "
            "x / 127.5 - 1"
        )
    low, high = image_BCHW.min().item(), image_BCHW.max().item()
    if not (low >= -1 - SLACK and high <= 1 + SLACK):  # this form also refuses NaN
        raise DataError(
            f"images with values from {low:.4g} to {high:.4g}: they must be finite and lie in "
            "[−1, 1]; convert 0 … 255 by x / 127.5 - 1, and 0 … 1 by 2 * x - 1"
        )


def _need_pillow() -> None:
    try:
        import PIL  # noqa: F401 (only to check that it is installed)
    except ImportError as error:
        raise ConfigError(
            "pictures need Pillow, which is not installed; type pip install 'ganinv[pictures]', or "
            "use tensors"
        ) from error
