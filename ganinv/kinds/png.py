"""PNG of every kind of pixels. Pillow holds no colour of 16 bits, so imagecodecs does these."""

import importlib.util
import io
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ganinv.errors import ConfigError, DataError
from ganinv.kinds.converting import Pixels
from ganinv.kinds.kind import DEEP

COMMAND = "pip install imagecodecs"  # the extra `deep`
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BITS_AT = 24  # the byte of IHDR, which PNG demands as the first chunk


def need_deep(option: str) -> None:
    """Raises `ConfigError` without imagecodecs; `option` asks for 16 bits."""
    if importlib.util.find_spec("imagecodecs") is None:
        raise ConfigError(
            f"{option} needs the package 'imagecodecs', which is not installed; type {COMMAND}, or"
            " keep to 8 bits"
        )


def is_deep_png(data: bytes | memoryview) -> bool:
    """Whether these are the bytes of a PNG with 16 bits a channel."""
    head = bytes(data[: _BITS_AT + 1])
    return head.startswith(_SIGNATURE) and head[_BITS_AT:] == bytes([DEEP])


def decode_deep_png(data: bytes | memoryview) -> NDArray[np.uint16]:
    """H × W × C, as the file holds it. Raises `DataError` for corrupt pixels."""
    codecs = codecs_of_deep()
    try:
        pixels: NDArray[np.uint16] = codecs.png_decode(bytes(data))
    except codecs.PngError as problem:
        raise DataError(f"PngError: {problem}") from problem
    return pixels[..., None] if pixels.ndim == 2 else pixels


def encode_png(pixels_HWC: Pixels) -> bytes:
    """The bytes of a PNG; equal pixels give equal bytes."""
    plain = pixels_HWC[..., 0] if pixels_HWC.shape[2] == 1 else pixels_HWC
    if plain.dtype == np.uint16:
        encoded: bytes = codecs_of_deep().png_encode(np.ascontiguousarray(plain))
        return encoded
    from PIL.Image import fromarray

    file = io.BytesIO()
    fromarray(plain).save(file, "PNG")
    return file.getvalue()


def codec_version() -> str:
    """What the bytes of a PNG of 16 bits depend on, besides the pixels."""
    codecs = codecs_of_deep()
    return f"imagecodecs {codecs.__version__}, {codecs.png_version()}"


def codecs_of_deep() -> ModuleType:
    """imagecodecs. Raises `ConfigError` without it."""
    need_deep("16 bits a channel")
    import imagecodecs

    return imagecodecs
