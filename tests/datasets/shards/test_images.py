"""Decoding any bytes gives an image of the right size or `DataError`, quickly, in little memory."""

import io
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets.shards.images import FORMATS, decode_image, image_size
from ganinv.errors import DataError

SIDE = 16


def _encoded(kind: str, picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 70} if kind != "PNG" else {}))
    return buffer.getvalue()


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8))
GOOD = {kind: _encoded(kind, NOISE) for kind in FORMATS}
EDIT = st.tuples(st.integers(0, 2**16), st.integers(0, 255))


def _decode(data: bytes) -> None:
    """Fails unless the result is an image or `DataError`."""
    with suppress(DataError):
        assert image_size(data)
    with suppress(DataError):
        assert decode_image(data, (SIDE, SIDE), "it").shape == (SIDE, SIDE, 3)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about corrupt TIFFs
@settings(max_examples=150, deadline=1000)
@given(
    kind=st.sampled_from(FORMATS),
    edits=st.lists(EDIT, min_size=1, max_size=6),
    cut=st.none() | st.integers(0, 2**16),
)
def test_corrupt_images_decode_or_raise_our_error(
    kind: str, edits: list[tuple[int, int]], cut: int | None
) -> None:
    data = bytearray(GOOD[kind])
    for place, byte in edits:
        data[place % len(data)] = byte
    _decode(bytes(data[: cut % len(data) if cut is not None else None]))


@settings(max_examples=50, deadline=1000)
@given(
    head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\1\0\0WEBP"]),
    rest=st.binary(),
)
def test_random_bytes_raise_our_error(head: bytes, rest: bytes) -> None:
    with pytest.raises(DataError):
        decode_image(head + rest, (SIDE, SIDE), "it")


@pytest.mark.parametrize("kind", FORMATS)
def test_images_of_another_size_are_refused_before_their_pixels_are_decoded(kind: str) -> None:
    large = _encoded(kind, Image.new("RGB", (1024, 1024)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"has 1024 × 1024 pixels, the index says 16 × 16"):
            decode_image(large, (SIDE, SIDE), "it")
        # The file and a copy of it; the decoded pixels would need another 3 MiB.
        assert tracemalloc.get_traced_memory()[1] < 2 * len(large) + 2**20
    finally:
        tracemalloc.stop()


def test_a_decompression_bomb_is_refused() -> None:
    """A header that claims 30,000 × 30,000 pixels."""
    data = bytearray(GOOD["PNG"])
    data[16:24] = (30_000).to_bytes(4, "big") * 2
    with pytest.raises(DataError):
        decode_image(bytes(data), (SIDE, SIDE), "it")
