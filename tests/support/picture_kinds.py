"""One picture of every kind, encoded, with the pixels that it is meant to have."""

import io
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16
_RNG = np.random.default_rng(5)
COLOUR_HWC = _RNG.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
GREY_HW = COLOUR_HWC[..., 0]
OPACITY_HW = np.tril(np.full((SIDE, SIDE), 255, np.uint8))  # 0 above the diagonal
GREY_HWC = np.repeat(GREY_HW[..., None], 3, axis=2)
DEEP_HW = _RNG.integers(0, 2**16, (SIDE, SIDE)).astype(np.uint16)
_PALETTE = [255, 0, 0, 0, 200, 0, 9, 8, 7]
_NUMBERS_HW = COLOUR_HWC[..., 1] % 3
_WHITE = 255


class Kind(NamedTuple):
    data: bytes
    extension: str
    pixels_HWC: NDArray[np.uint8] | None
    """None if the kind is refused."""


def _save(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _png(
    depth: int, colour: int, rows: list[bytes], *, before: bytes = b"", after: bytes = b""
) -> bytes:
    """A PNG of SIDE × SIDE pixels that Pillow cannot write; chunks before and after the pixels."""
    header = struct.pack(">IIBBBBB", SIDE, SIDE, depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + before
        + _chunk(b"IDAT", pixels)
        + after
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def _decoded(data: bytes) -> NDArray[np.uint8]:
    """For lossy formats without a peculiarity, Pillow's own answer is the expectation."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _on_white(pixels_HWC: NDArray[np.uint8], visible_HW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(visible_HW[..., None], pixels_HWC, np.uint8(_WHITE))


def _kinds() -> dict[str, Kind]:
    colour, grey = Image.fromarray(COLOUR_HWC), Image.fromarray(GREY_HW)
    opacity = Image.fromarray(OPACITY_HW)
    visible_HW = OPACITY_HW > 0
    palette = Image.fromarray(_NUMBERS_HW, "P")
    palette.putpalette(_PALETTE)
    palette_HWC = np.array(_PALETTE, np.uint8).reshape(3, 3)[_NUMBERS_HW]
    rgba, la = colour.copy(), Image.merge("LA", (grey, opacity))
    rgba.putalpha(opacity)
    deep_rows = [row.astype(">u2").tobytes() for row in DEEP_HW]
    deep_colour_rows = [np.repeat(row, 3).astype(">u2").tobytes() for row in DEEP_HW]
    deep_HWC = np.repeat((DEEP_HW >> 8).astype(np.uint8)[..., None], 3, axis=2)
    colour_rows = [row.tobytes() for row in COLOUR_HWC]
    jpeg = _save(colour, "JPEG", quality=95)
    turned = _save(colour, "JPEG", quality=95, exif=_exif(6))
    cmyk = _save(colour.convert("CMYK"), "JPEG", quality=95)
    frames = [Image.fromarray(np.full((SIDE, SIDE, 3), shade, np.uint8)) for shade in (40, 90)]
    corner = tuple(COLOUR_HWC[0, 0].tolist())
    deep_corner = struct.pack(">HHH", *[int(DEEP_HW[0, 0]) | 0x100] * 3)
    first_HWC = np.full((SIDE, SIDE, 3), 40, np.uint8)
    return {
        "colour": Kind(_save(colour), "png", COLOUR_HWC),
        "jpeg": Kind(jpeg, "jpg", _decoded(jpeg)),
        "greyscale": Kind(_save(grey), "png", GREY_HWC),
        "black and white": Kind(
            _save(Image.fromarray(visible_HW)), "png", _on_white(first_HWC * 0, ~visible_HW)
        ),
        "greyscale jpeg": Kind(data := _save(grey, "JPEG", quality=95), "jpeg", _decoded(data)),
        "palette": Kind(_save(palette), "png", palette_HWC),
        "transparent palette": Kind(
            _save(palette, transparency=1), "png", _on_white(palette_HWC, _NUMBERS_HW != 1)
        ),
        "opacity": Kind(_save(rgba), "png", _on_white(COLOUR_HWC, visible_HW)),
        "webp with opacity": Kind(
            _save(rgba, "WEBP", lossless=True, exact=True),
            "webp",
            _on_white(COLOUR_HWC, visible_HW),
        ),
        "greyscale with opacity": Kind(_save(la), "png", _on_white(GREY_HWC, visible_HW)),
        "transparent colour": Kind(
            _save(colour, transparency=corner),
            "png",
            _on_white(COLOUR_HWC, (COLOUR_HWC[0, 0] != COLOUR_HWC).any(axis=2)),
        ),
        "transparent shade": Kind(
            _save(grey, transparency=int(GREY_HW[0, 0])),
            "png",
            _on_white(GREY_HWC, GREY_HW[0, 0] != GREY_HW),
        ),
        "cmyk": Kind(cmyk, "jpg", _decoded(cmyk)),
        "orientation in jpeg": Kind(turned, "jpg", np.rot90(_decoded(turned), -1)),
        "orientation in png": Kind(_save(colour, exif=_exif(2)), "png", COLOUR_HWC[:, ::-1]),
        "orientation after the pixels": Kind(
            _png(8, 2, colour_rows, after=_chunk(b"eXIf", _exif(3)[6:])),
            "png",
            COLOUR_HWC[::-1, ::-1],
        ),
        "orientation in xmp": Kind(
            _save(colour, "WEBP", lossless=True, xmp=b'<x tiff:Orientation="8"/>'),
            "webp",
            np.rot90(COLOUR_HWC),
        ),
        "orientation in tiff": Kind(
            _save(colour, "TIFF", tiffinfo={0x0112: 6}), "tiff", np.rot90(COLOUR_HWC, -1)
        ),
        "corrupt exif": Kind(_save(colour, exif=b"Exif\0\0nothing of the kind"), "png", COLOUR_HWC),
        "animated png": Kind(
            _save(frames[0], save_all=True, append_images=frames[1:]), "png", first_HWC
        ),
        "animated webp": Kind(
            _save(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True),
            "webp",
            first_HWC,
        ),
        "animated gif": Kind(
            _save(frames[0], "GIF", save_all=True, append_images=frames[1:]), "gif", first_HWC
        ),
        "several pictures in a jpeg": Kind(
            _save(frames[0], "MPO", save_all=True, append_images=frames[1:]), "jpg", first_HWC
        ),
        "bmp": Kind(_save(colour, "BMP"), "bmp", COLOUR_HWC),
        "colour of 16 bits": Kind(_png(16, 2, deep_colour_rows), "png", deep_HWC),
        "greyscale of 16 bits": Kind(_png(16, 0, deep_rows), "png", None),
        "transparent colour of 16 bits": Kind(
            _png(16, 2, deep_colour_rows, before=_chunk(b"tRNS", deep_corner)), "png", None
        ),
        "floats": Kind(_save(grey.convert("F"), "TIFF"), "tif", None),
        "integers of 32 bits": Kind(_save(grey.convert("I"), "TIFF"), "tif", None),
    }


KINDS = _kinds()
