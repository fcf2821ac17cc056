"""TIFF of more than 8 bits a channel. Pillow opens it, but cuts colour to 8 bits.

imagecodecs reads colour: chunky or in planes, of any byte order and compression that its libtiff
knows. Opacity is what the tag ExtraSamples says; any other fourth channel is left out.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ganinv.errors import DataError
from ganinv.kinds.converting import Pixels, divided
from ganinv.kinds.kind import DEEP
from ganinv.kinds.png import codecs_of_deep
from ganinv.pixels import DEEP_GREYS

if TYPE_CHECKING:
    from PIL.Image import Image

_BITS, _PHOTOMETRIC, _PLANES, _EXTRA = 258, 262, 284, 338  # tags
_WHITE_IS_0 = 0  # of _PHOTOMETRIC
_SEPARATE = 2  # of _PLANES
_MULTIPLIED, _OPACITY = 1, 2  # of _EXTRA: colour multiplied by opacity, and not
_COLOUR = ("RGB", "RGBA")  # Pillow's modes of what can be read
_TOP = 2**DEEP - 1


def is_deep_tiff(picture: "Image") -> bool:
    """Whether it is grey or colour of more than 8 bits a channel, whole numbers without sign."""
    modes = (*DEEP_GREYS, *_COLOUR, "CMYK")
    return picture.format == "TIFF" and picture.mode in modes and max(_tag(picture, _BITS, 8)) > 8


def grey_of_deep_tiff(picture: "Image") -> Pixels:
    """H × W × 1, turned upright by Pillow. Raises `DataError` for another number of bits."""
    _check_bits(picture)
    grey_HWC = np.asarray(picture).astype(np.uint16)[..., None]
    white_is_0 = _tag(picture, _PHOTOMETRIC, 1) == (_WHITE_IS_0,)  # Pillow ignores it in 16 bits
    return _TOP - grey_HWC if white_is_0 else grey_HWC


def colour_of_deep_tiff(picture: "Image", data: bytes | memoryview) -> Pixels:
    """H × W × C, not yet turned upright. Raises `DataError` for what is no RGB of 16 bits."""
    _check_bits(picture)
    if picture.mode not in _COLOUR:
        raise DataError(
            f"{picture.mode} of {DEEP} bits a channel in TIFF: only RGB and grey are read; convert "
            "it before"
        )
    if not data:
        raise DataError(
            f"colour of {DEEP} bits a channel in TIFF is read from the file's bytes alone, for "
            "Pillow keeps the upper 8 bits; give floats"
        )
    codecs = codecs_of_deep()
    try:
        read: NDArray[Any] = codecs.tiff_decode(bytes(data))
    except (codecs.TiffError, IndexError) as problem:
        raise DataError(f"it cannot be decoded (TiffError: {problem})") from problem
    if _tag(picture, _PLANES, 1) == (_SEPARATE,):
        read = read.transpose(1, 2, 0)
    extra, *_ = _tag(picture, _EXTRA, 0)
    if extra == _MULTIPLIED:
        return _divided_by_opacity(read)
    return read if extra == _OPACITY else read[..., :3]


def _check_bits(picture: "Image") -> None:
    bits = _tag(picture, _BITS, 8)
    if set(bits) != {DEEP}:
        raise DataError(
            f"{max(bits)} bits a channel in TIFF: only 8 and {DEEP} are read; convert it before"
        )


def _divided_by_opacity(pixels_HWC: Pixels) -> Pixels:
    """Colours as they are where they are opaque; 0 where nothing is seen of them."""
    colour, opacity = np.split(pixels_HWC.astype(np.int64), [3], axis=2)
    whole = divided(colour * _TOP, np.maximum(opacity, 1)).clip(max=_TOP)
    return np.concatenate([np.where(opacity > 0, whole, 0), opacity], axis=2).astype(np.uint16)


def _tag(picture: "Image", tag: int, default: int) -> tuple[int, ...]:
    found = getattr(picture, "tag_v2", {}).get(tag, default)
    return tuple(found) if isinstance(found, tuple) else (found,)
