"""Uploaded files: every kind of picture is right or refused in words; hostile ones are refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ganinv.errors import DataError
from ganinv.kinds.kind import RGB8
from launch.studio.uploads import SHOWN_OF_A_NAME, photograph, short_name
from tests.support.picture_kinds import KINDS

ENOUGH = 10_000  # pixels


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it has this size, and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def encoded(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_is_right_or_refused(kind: str) -> None:
    """16 bits, CMYK, turned by EXIF, palettes, opacity … ; the name's suffix says nothing."""
    data, expected = KINDS[kind].data, KINDS[kind].pixels_HWC
    if expected is None:
        with pytest.raises(DataError, match=r"^a\.svg: .*; "):
            photograph(data, "a.svg", ENOUGH, RGB8)
        return
    found = photograph(data, "a.svg", ENOUGH, RGB8)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty; choose another file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is a drawing of lines (SVG)"),
        (b"<?xml version='1.0'?><svg/>", "is a drawing of lines (SVG)"),
        (b"%PDF-1.7\n", "is a PDF document"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "is a HEIC photograph"),
        (b"GIF89a", "is no picture of a kind that can be read here"),
        (b"just words", "is no picture of a kind that can be read here"),
        (encoded("PNG")[:-400], "is damaged or incomplete"),
        (encoded("JPEG")[:-400], "is damaged or incomplete"),
        (encoded("WEBP")[:-400], "is damaged or incomplete"),
        (png_of(200, 200), "has 200 × 200 pixels, more than the 10,000"),
        (png_of(60_000, 60_000), "has far more pixels than the 10,000"),
        (png_of(2**31 - 1, 1), "has far more pixels"),
        (png_of(50, 50), "is damaged or incomplete"),
    ],
)
def test_what_is_no_usable_picture_is_refused_in_words(data: bytes, says: str) -> None:
    with pytest.raises(DataError) as caught:
        photograph(data, "photo.png", ENOUGH, RGB8)
    said = str(caught.value)
    assert said.startswith(f"photo.png: {says}")
    assert "; " in said  # what to do about it
    assert "0x" not in said


def test_names_are_shown_short_and_without_control_characters() -> None:
    assert short_name("me.jpg") == "me.jpg"
    assert short_name("a\nb\x1b[31m.png") == "ab[31m.png"
    assert short_name("") == short_name("\r\n") == "the file"
    long = short_name("x" * 300 + ".png")
    assert len(long) == SHOWN_OF_A_NAME
    assert long.endswith(".png")
