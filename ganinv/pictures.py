"""Converts between Pillow images and tensors. Shapes: B images, C × H × W pixels in [−1, 1].

Photographs are cropped and resized as for training (`alignment/aligning.py`).
Pillow is imported inside the functions that need it, because it is optional.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

import numpy as np
import torch
from torch import Tensor

from ganinv.alignment.aligning import align_pixels
from ganinv.alignment.transform import CROP
from ganinv.errors import ConfigError, DataError
from ganinv.inputs import Floats, floats
from ganinv.kinds.converting import Pixels
from ganinv.kinds.kind import CHANNELS, DEEP, RGB_CHANNELS, Kind, has_opacity
from ganinv.kinds.png import encode_png
from ganinv.pixels import decode_errors
from ganinv.sizes import Size

if TYPE_CHECKING:
    from PIL.Image import Image

# Input of a model: floats B × C × H × W, one picture, or several.
Images: TypeAlias = "Floats | Image | Sequence[Image]"
SLACK = 1e-3  # tolerance beyond [−1, 1], for arithmetic in half precision
DEEP_HALF = 32767.5  # half the highest value of 16 bits


def to_signed(image_BCHW: Tensor) -> Tensor:
    """Pixels → float32 in [−1, 1] (PVDGAN §3).

    uint8, and floats around 0 … 255, are pixels of 8 bits; other whole numbers of 16 bits.
    """
    deep = image_BCHW.dtype in (torch.int32, torch.uint16)
    return image_BCHW.float() / (DEEP_HALF if deep else 127.5) - 1


def to_bytes(image_BCHW: Tensor) -> Tensor:
    """[−1, 1] → uint8, rounded; values outside are clamped."""
    return ((image_BCHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def shown(image_BCHW: Tensor) -> Tensor:
    """Pixels of a data set as uint8, the same if they have 8 bits."""
    return image_BCHW if image_BCHW.dtype == torch.uint8 else to_bytes(to_signed(image_BCHW))


def to_rgb(image_BCHW: Tensor, low: float = -1, high: float = 1) -> Tensor:
    """Three channels for what sees only RGB: grey is repeated, and opacity is drawn on white.

    `low` and `high`: the values of black and white. RGB stays as it is.
    """
    channels = image_BCHW.shape[1]
    if has_opacity(channels):
        opacity_B1HW = (image_BCHW[:, -1:].float() - low) / (high - low)
        image_BCHW = image_BCHW[:, :-1] * opacity_B1HW + high * (1 - opacity_B1HW)
    return image_BCHW.expand(-1, RGB_CHANNELS, -1, -1)


def to_rgb_bytes(byte_BCHW: Tensor) -> Tensor:
    """As `to_rgb`, of uint8."""
    return to_rgb(byte_BCHW, 0, 255).round().to(torch.uint8)


def to_pixels(image_CHW: Tensor, bits: int) -> Pixels:
    """One image in [−1, 1] as pixels H × W × C, rounded; values outside are clamped."""
    image_HWC = image_CHW.detach().permute(1, 2, 0)
    if bits != DEEP:
        return to_bytes(image_HWC).cpu().numpy()
    value_HWC = (image_HWC.double().clamp(-1, 1) + 1) * DEEP_HALF
    return value_HWC.round().cpu().numpy().astype(np.uint16)


def to_png(image_CHW: Tensor, bits: int) -> bytes:
    """One image in [−1, 1] as PNG. Raises `ConfigError` without what writes 16 bits."""
    return encode_png(to_pixels(image_CHW, bits))


def to_pictures(image_BCHW: Floats) -> "list[Image]":
    """A batch in [−1, 1], B × C × H × W, as Pillow images of 8 bits a channel.

    C = 1: grey, 2: grey and opacity, 3: RGB, 4: RGBA.

    Raises `ConfigError` if Pillow is missing, and `DataError` for other shapes, types and values.
    """
    _need_pillow()
    from PIL.Image import fromarray

    checked_BCHW = _batch(image_BCHW)
    shape = tuple(checked_BCHW.shape)
    if len(shape) != 4 or shape[1] not in CHANNELS or 0 in shape[2:]:
        raise DataError(
            f"images of shape {shape}: pictures need B × C × H × W with 1 to 4 channels"
        )
    _check_range(checked_BCHW)
    image_BHWC = to_bytes(checked_BCHW).permute(0, 2, 3, 1).cpu().numpy()
    if shape[1] == 1:
        image_BHWC = image_BHWC.squeeze(3)  # Pillow's shape of grey images
    return [fromarray(image) for image in image_BHWC]


def to_images(
    images: Images, *, channels: int, size: Size, alignment: str = CROP, bits: int = 8
) -> Tensor:
    """A user's images as a batch B × C × H × W in [−1, 1]; pictures are aligned and resized.

    Pillow holds no colour of 16 bits, so pictures of colour have 8 even if the model has 16.

    Raises `DataError` for floats of another shape or range, other types, and pictures that cannot
    be read; and `ConfigError` for pictures if Pillow is missing or the model has more channels.
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
    if channels not in CHANNELS:
        raise ConfigError(
            f"images: this model takes {channels} channels, but pictures have 1 to 4; give "
            f"floats B × {channels} × {size.height} × {size.width} in [−1, 1]"
        )
    kind = Kind(channels=channels, bits=bits)
    image_BHWC = np.stack(
        [
            _aligned(picture, size, alignment, kind, "the image" if one else f"images[{number}]")
            for number, picture in enumerate(pictures)
        ]
    )
    return to_signed(torch.from_numpy(image_BHWC).permute(0, 3, 1, 2))


def _are_numbers(images: Images) -> TypeGuard[Floats]:
    found = images[0] if isinstance(images, list | tuple) and images else images
    return isinstance(found, Tensor | np.ndarray)


def _batch(images: Floats) -> Tensor:
    remedy = (
        f"convert bytes by x / 127.5 - 1, 16 bits by x / {DEEP_HALF} - 1, or arrays H × W × 3 of "
        "bytes by PIL.Image.fromarray"
    )
    return floats(images, "images", remedy=remedy)


def _aligned(picture: "Image", size: Size, alignment: str, kind: Kind, which: str) -> Pixels:
    """Pixels; `which` names the picture in messages. Raises `DataError` if it is unreadable."""
    file = getattr(picture, "filename", "")
    name = f"{which} ({file})" if file else which
    if 0 in picture.size:
        width, height = picture.size
        raise DataError(f"{name}: has {width} × {height} pixels; leave it out")
    try:
        return align_pixels(picture, size, alignment, kind).pixels_HWC
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
            f"0 … 255 by x / 127.5 - 1, 0 … 65,535 by x / {DEEP_HALF} - 1, 0 … 1 by 2 * x - 1, and "
            "clamp what arithmetic gave by x.clamp(-1, 1)"
        )


def _need_pillow() -> None:
    try:
        import PIL  # noqa: F401 (only to check that it is installed)
    except ImportError as error:
        raise ConfigError(
            "pictures need Pillow, which is not installed; type pip install 'ganinv[pictures]', or "
            "use tensors"
        ) from error
