"""The pixels of a picture as pixels of any kind. RGB of 8 bits is as `ganinv.pixels` defines it.

Of 16 bits a channel, PNG of every kind is read without loss if its bytes are given, and grey of
every format; TIFF with colour of more than 8 bits is refused, because Pillow reads only its upper
8 bits. Pictures of 8 bits become 16 bits as `ganinv.kinds.converting` says.
"""

from typing import TYPE_CHECKING

import numpy as np

from ganinv.errors import DataError
from ganinv.kinds.converting import Pixels, as_kind
from ganinv.kinds.kind import DEEP, RGB8, Kind
from ganinv.kinds.png import decode_deep_png, is_deep_png
from ganinv.pixels import DEEP_GREYS, check, orientation_of, upright_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

_BITS_PER_SAMPLE = 258  # the tag of TIFF


def pixels_of(picture: "Image", kind: Kind, data: bytes | memoryview = b"") -> Pixels:
    """The upright pixels, H × W × C. `data`: the bytes that the picture was opened from.

    Raises `DataError` for pixels that have no definition. Pillow's errors for corrupt files pass
    through.
    """
    if kind == RGB8:
        return np.asarray(upright_rgb(picture))
    picture.load()  # an orientation may come after the pixels
    if kind.bits == DEEP and is_deep_png(data):
        if "transparency" in picture.info:
            raise DataError("its transparent colour has 16 bits a channel; convert it before")
        read: Pixels = decode_deep_png(data)
    elif kind.bits == DEEP and picture.mode in DEEP_GREYS:
        read = np.asarray(picture).astype(np.uint16)[..., None]
    else:
        if kind.bits == DEEP:
            _check_lossless(picture)
        check(picture)
        read = _eight_bits(picture)
    return as_kind(_turned(read, orientation_of(picture)), kind)


def _check_lossless(picture: "Image") -> None:
    bits = getattr(picture, "tag_v2", {}).get(_BITS_PER_SAMPLE, 8)
    if max(bits if isinstance(bits, tuple) else (bits,)) > 8:
        raise DataError(
            "colour of more than 8 bits a channel is read from PNG alone; convert it before"
        )


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
