"""The pixels of a picture as pixels of any kind. RGB of 8 bits is as `ganinv.pixels` defines it.

Of 16 bits a channel, PNG of every kind and RGB in TIFF are read without loss if their bytes are
given, and grey in TIFF and JPEG 2000. Of other colour (JPEG 2000, AVIF, PPM) Pillow reads 8 bits.
Pictures of 8 bits become 16 bits as `ganinv.kinds.converting` says.
"""

from typing import TYPE_CHECKING

import numpy as np

from ganinv.errors import DataError
from ganinv.kinds.converting import Pixels, as_kind
from ganinv.kinds.kind import DEEP, RGB8, Kind
from ganinv.kinds.png import decode_deep_png, is_deep_png
from ganinv.kinds.tiff import colour_of_deep_tiff, grey_of_deep_tiff, is_deep_tiff
from ganinv.pixels import DEEP_GREYS, check, orientation_of, upright_rgb

if TYPE_CHECKING:
    from PIL.Image import Image


def pixels_of(picture: "Image", kind: Kind, data: bytes | memoryview = b"") -> Pixels:
    """The upright pixels, H × W × C. `data`: the bytes that the picture was opened from.

    Raises `DataError` for pixels that have no definition. Pillow's errors for corrupt files pass
    through.
    """
    if kind == RGB8:
        return np.asarray(upright_rgb(picture))
    if kind.bits == DEEP and is_deep_tiff(picture):
        return as_kind(_deep_tiff(picture, data), kind)
    picture.load()  # an orientation may come after the pixels
    if kind.bits == DEEP and is_deep_png(data):
        if "transparency" in picture.info:
            raise DataError("its transparent colour has 16 bits a channel; convert it before")
        read: Pixels = decode_deep_png(data)
    elif kind.bits == DEEP and picture.mode in DEEP_GREYS:
        read = np.asarray(picture).astype(np.uint16)[..., None]
    else:
        check(picture)
        read = _eight_bits(picture)
    return as_kind(_turned(read, orientation_of(picture)), kind)


def _deep_tiff(picture: "Image", data: bytes | memoryview) -> Pixels:
    if picture.mode in DEEP_GREYS:
        return grey_of_deep_tiff(picture)
    orientation = orientation_of(picture)  # Pillow forgets it when it reads the pixels
    return _turned(colour_of_deep_tiff(picture, data), orientation)


def _eight_bits(picture: "Image") -> Pixels:
    """uint8, in the kind that holds what the picture holds."""
    if picture.has_transparency_data:
        mode = "LA" if picture.mode in ("1", "L", "LA", "La") else "RGBA"
        if picture.mode == "La":
            picture = picture.convert("LA")
    else:
        mode = "L" if picture.mode in ("1", "L") else "RGB"
    found = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    return found[..., None] if found.ndim == 2 else found


def _turned(pixels_HWC: Pixels, orientation: int) -> Pixels:
    """Upright, as EXIF numbers orientations."""
    if orientation in (5, 6, 7, 8):
        pixels_HWC = pixels_HWC.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels_HWC = pixels_HWC[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels_HWC = pixels_HWC[::-1]
    return pixels_HWC
