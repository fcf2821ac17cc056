"""Converts between Pillow images and tensors. Shapes: B images, C × H × W pixels in [−1, 1].

Photographs are cropped and resized as for training (`alignment/aligning.py`).
Pillow is imported inside the functions that need it, because it is optional.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganinv.alignment.aligning import align
from ganinv.alignment.transform import CROP
from ganinv.errors import ConfigError, DataError
from ganinv.inputs import Floats, floats
from ganinv.pixels import decode_errors
from ganinv.sizes import Size

if TYPE_CHECKING:
    from PIL.Image import Image

# Input of a model: floats B × C × H × W, one picture, or several.
Images: TypeAlias = "Floats | Image | Sequence[Image]"
SLACK = 1e-3  # tolerance beyond [−1, 1], for arithmetic in half precision
RGB_CHANNELS = 3


def to_signed(image_BCHW: Tensor) -> Tensor:
    """uint8 → float32 in [−1, 1] (PVDGAN §3)."""
    return image_BCHW.float() / 127.5 - 1


def to_bytes(image_BCHW: Tensor) -> Tensor:
    """[−1, 1] → uint8, rounded; values outside are clamped."""
    return ((image_BCHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def to_pictures(image_BCHW: Floats) -> "list[Image]":
    """A batch in [−1, 1], B × C × H × W, as Pillow images, grey (C = 1) or RGB (C = 3).

    Raises `ConfigError` if Pillow is missing, and `DataError` for other shapes, types and values.
    """
    _need_pillow()
    from PIL.Image import fromarray

    checked_BCHW = _batch(image_BCHW)
    shape = tuple(checked_BCHW.shape)
    if len(shape) != 4 or shape[1] not in (1, RGB_CHANNELS) or 0 in shape[2:]:
        raise DataError(
            f"images of shape {shape}: pictures need B × 1 × H × W (grey) or B × 3 × H × W (RGB)"
        )
    _check_range(checked_BCHW)
    image_BHWC = to_bytes(checked_BCHW).permute(0, 2, 3, 1).cpu().numpy()
    if shape[1] == 1:
        image_BHWC = image_BHWC.squeeze(3)  # Pillow's shape of grey images
    return [fromarray(image) for image in image_BHWC]


def to_images(images: Images, *, channels: int, size: Size, alignment: str = CROP) -> Tensor:
    """A user's images as a batch B × C × H × W in [−1, 1]; pictures are aligned and resized.

    Raises `DataError` for floats of another shape or range, other types, and pictures that cannot
    be read; and `ConfigError` for pictures if Pillow is missing or the model's images are not RGB.
    """
    if _are_numbers(images):
        image_BCHW = _batch(images)
        _check_shape(image_BCHW, (channels, size.height, size.width))
        _check_range(image_BCHW)
        return image_BCHW
    _need_pillow()
    from PIL.Image import Image

    one = isinstance(images, str | bytes) or not isinstance(images, Sequence)
    listed: Sequence[object] = [images] if one else images  # type: ignore[assignment]
    pictures = [picture for picture in listed if isinstance(picture, Image)]
    if not listed or len(pictures) < len(listed):
        kinds = sorted({type(picture).__name__ for picture in listed}) or ["nothing"]
        raise DataError(
            f"images: {', '.join(kinds)} cannot be converted; give floats B × {channels} × "
            f"{size.height} × {size.width} in [−1, 1], a Pillow image or a list of them"
        )
    if channels != RGB_CHANNELS:
        raise ConfigError(
            f"images: this model takes {channels} channels, but pictures have {RGB_CHANNELS}; give "
            f"floats B × {channels} × {size.height} × {size.width} in [−1, 1]"
        )
    image_BHWC = np.stack(
        [
            _aligned(picture, size, alignment, "the image" if one else f"images[{number}]")
            for number, picture in enumerate(pictures)
        ]
    )
    return to_signed(torch.from_numpy(image_BHWC).permute(0, 3, 1, 2))


def _are_numbers(images: Images) -> TypeGuard[Floats]:
    found = images[0] if isinstance(images, list | tuple) and images else images
    return isinstance(found, Tensor | np.ndarray)


def _batch(images: Floats) -> Tensor:
    remedy = "convert bytes by x / 127.5 - 1, or arrays H × W × 3 by PIL.Image.fromarray"
    return floats(images, "images", remedy=remedy)


def _aligned(picture: "Image", size: Size, alignment: str, which: str) -> NDArray[np.uint8]:
    """RGB pixels; `which` names the picture in messages. Raises `DataError` if it is unreadable."""
    file = getattr(picture, "filename", "")
    name = f"{which} ({file})" if file else which
    if 0 in picture.size:
        width, height = picture.size
        raise DataError(f"{name}: has {width} × {height} pixels; leave it out")
    try:
        return np.asarray(align(picture, size, alignment).picture)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    except decode_errors() as error:
        raise DataError(
            f"{name}: cannot be read ({type(error).__name__}: {error}); open it again, or leave it "
            "out"
        ) from error


def _check_shape(image_BCHW: Tensor, expected_CHW: tuple[int, int, int]) -> None:
    shape, size = tuple(image_BCHW.shape), " × ".join(map(str, expected_CHW))
    if len(shape) != 4 or shape[1:] != expected_CHW or not shape[0]:
        raise DataError(
            f"images of shape {shape}: this model takes B × {size}; crop and resize them, or give "
            "Pillow images, which are cropped and resized here"
        )


def _check_range(image_BCHW: Tensor) -> None:
    if not image_BCHW.numel():
        return
    low, high = image_BCHW.min().item(), image_BCHW.max().item()
    if low < -1 - SLACK or high > 1 + SLACK:
        raise DataError(
            f"images with values from {low:.4g} to {high:.4g}: they must lie in [−1, 1]; convert "
            "0 … 255 by x / 127.5 - 1, 0 … 1 by 2 * x - 1, and clamp what arithmetic gave by "
            "x.clamp(-1, 1)"
        )


def _need_pillow() -> None:
    try:
        import PIL  # noqa: F401 (only to check that it is installed)
    except ImportError as error:
        raise ConfigError(
            "pictures need Pillow, which is not installed; type pip install 'ganinv[pictures]', or "
            "use tensors"
        ) from error
