"""The pixels of a picture: the one definition for data sets, training, evaluation and models.

They are RGB of 8 bits a channel; `ganinv.kinds` does the same for other kinds of pixels.

| picture | pixels |
|---|---|
| greyscale of 1 to 8 bits | the same value in all three channels |
| palette | the colours of the palette |
| opacity, or a transparent colour | drawn on white |
| CMYK, YCbCr | RGB by Pillow's formula; colour profiles are ignored |
| colour of 16 bits a channel | the upper 8 bits, as Pillow reads it |
| other pixels of more than 8 bits | refused, because which value is white is unknown |
| an EXIF or XMP orientation | turned upright |
| several frames or pages | the first |

Worker processes that decode photographs import this module. So it imports no torch, and Pillow
only once a picture is at hand.
"""

import struct
import zlib
from typing import TYPE_CHECKING

from ganinv.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_OPAQUE_MODES = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr")
_OPACITY_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
DEEP_GREYS = ("I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes of 16 bits
_ORIENTATION = 0x0112  # the EXIF tag; its values are 1 to 8
_UPRIGHT = 1
_FIRST_LYING = 5  # from here on, width and height change places
# Where Pillow's `info` may hold a transparent colour or an orientation.
_SPECIAL = {"transparency", "exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}
# What Pillow raises for corrupt EXIF.
_EXIF_ERRORS = (SyntaxError, struct.error, ValueError)


def decode_errors() -> tuple[type[Exception], ...]:
    """What Pillow's decoders raise for closed, truncated, corrupt, hostile and enormous pictures.

    `RuntimeError` is that of its AVIF decoder.
    """
    from PIL.Image import DecompressionBombError, DecompressionBombWarning

    return (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        IndexError,
        OverflowError,
        RuntimeError,
        struct.error,
        zlib.error,
        DecompressionBombError,
        DecompressionBombWarning,
    )


def upright_rgb(picture: "Image") -> "Image":
    """The pixels, RGB of 8 bits a channel; the picture itself if it has these pixels already.

    Raises `DataError` for pixels that have no definition. Pillow's errors for corrupt files pass
    through.
    """
    picture.load()
    if picture.mode == "RGB" and picture.info.keys().isdisjoint(_SPECIAL):
        return picture  # nearly all images of data sets, which loaders decode by the thousand
    check(picture)
    orientation = orientation_of(picture)
    rgb = _rgb(picture)
    return rgb if orientation == _UPRIGHT else _turned(rgb, orientation)


def upright_size(picture: "Image", *, deep: bool = False) -> tuple[int, int]:
    """Width and height of `upright_rgb(picture)`, in pixels, from the header alone.

    Raises `DataError` for pixels that have no definition. An orientation that a PNG stores after
    its pixels is not seen. `deep`: grey of 16 bits counts as defined, see `ganinv.kinds.reading`.
    """
    if not deep or picture.mode not in DEEP_GREYS:
        check(picture)
    width, height = picture.size
    # Pillow itself turns TIFFs, and gives their size after that.
    lies = picture.format != "TIFF" and orientation_of(picture) >= _FIRST_LYING
    return (height, width) if lies else (width, height)


def check(picture: "Image") -> None:
    """Raises `DataError` for pixels that have no definition."""
    if picture.mode not in (*_OPAQUE_MODES, *_OPACITY_MODES):
        # Reports of builds (`build.json`) hold this text: another wording would change their bytes.
        raise DataError(f"its pixels are {picture.mode}, not 8 bits a channel; convert it before")
    transparent = picture.info.get("transparency")
    values = transparent if isinstance(transparent, tuple) else (transparent,)
    if any(isinstance(value, int) and value > 255 for value in values):
        # Pillow keeps 8 bits of the pixels and 16 of this colour, so that no pixel matches it.
        raise DataError("its transparent colour has 16 bits a channel; convert it before")


def orientation_of(picture: "Image") -> int:
    """As EXIF numbers it; upright if it is missing or corrupt."""
    from PIL.Image import Image

    try:
        # `PngImageFile.getexif` would first decode the pixels of a PNG, to look behind them.
        found = Image.getexif(picture).get(_ORIENTATION)
    except _EXIF_ERRORS:
        return _UPRIGHT
    return found if isinstance(found, int) and 1 <= found <= 8 else _UPRIGHT


def _turned(picture: "Image", orientation: int) -> "Image":
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turned = picture.transpose(turns[orientation])
    # What stays of the file would say once more that the picture is to be turned.
    turned.info = {key: value for key, value in turned.info.items() if key not in _SPECIAL}
    return turned


def _rgb(picture: "Image") -> "Image":
    """Transparent parts become white, because the colour stored under them is arbitrary."""
    from PIL.Image import alpha_composite, new

    if not picture.has_transparency_data:
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    white = new("RGBA", picture.size, "white")
    return alpha_composite(white, picture.convert("RGBA")).convert("RGB")
