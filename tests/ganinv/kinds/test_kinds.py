"""Pixels of 1 to 4 channels, of 8 and 16 bits: files, conversions, resampling."""

import io
import itertools
import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from datasets.shards.images import decode_image
from ganinv.alignment.pixel_shaping import resampled, shaped
from ganinv.errors import ConfigError, DataError
from ganinv.kinds.converting import Pixels, as_kind
from ganinv.kinds.kind import BITS, CHANNELS, RGB8, Kind
from ganinv.kinds.png import encode_png
from ganinv.kinds.reading import pixels_of
from ganinv.pictures import to_pixels, to_rgb, to_rgb_bytes, to_signed
from ganinv.resizing import resize_photograph
from ganinv.sizes import Size
from tests.support.picture_kinds import COLOUR_HWC, DEEP_HW, GREY_HW, KINDS, OPACITY_HW, SIDE

ALL = [Kind(channels=channels, bits=bits) for channels, bits in itertools.product(CHANNELS, BITS)]


def noise(kind: Kind, height: int = SIDE, width: int = SIDE) -> Pixels:
    values = np.random.default_rng(3).integers(0, kind.top + 1, (height, width, kind.channels))
    return values.astype(np.uint8 if kind.bits == 8 else np.uint16)


@pytest.mark.parametrize("kind", ALL, ids=str)
def test_png_and_the_networks_range_keep_every_value(kind: Kind) -> None:
    pixels_HWC = noise(kind, 9, 12)
    decoded_HWC = decode_image(encode_png(pixels_HWC), (12, 9), "it", kind)
    assert decoded_HWC.dtype == pixels_HWC.dtype
    assert np.array_equal(decoded_HWC, pixels_HWC)
    # Every value of a channel, in float32.
    held = np.uint8 if kind.bits == 8 else np.int32
    value_CHW = torch.from_numpy(np.arange(kind.top + 1, dtype=held)).view(1, 1, -1)
    signed_CHW = to_signed(value_CHW)
    assert (signed_CHW[0, 0, 0], signed_CHW[0, 0, -1]) == (-1, 1)
    assert np.array_equal(to_pixels(signed_CHW, kind.bits)[0, :, 0], value_CHW.flatten())


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(("held", "wanted"), [*itertools.product(CHANNELS, CHANNELS)])
def test_channels_are_converted_by_the_rule(held: int, wanted: int, bits: int) -> None:
    """Against the formulas in float64, from files."""
    kind, other = Kind(channels=held, bits=bits), Kind(channels=wanted, bits=bits)
    pixels_HWC = noise(kind)
    expected: Any = pixels_HWC / kind.top
    colour, opacity = expected, np.ones((SIDE, SIDE, 1))
    if kind.opacity:
        colour, opacity = expected[..., :-1], expected[..., -1:]
        if not other.opacity:
            colour = colour * opacity + 1 - opacity
    if wanted < 3 <= held:
        colour = colour @ np.array([[0.299], [0.587], [0.114]])
    elif held < 3 <= wanted:
        colour = np.repeat(colour, 3, axis=2)
    expected = np.concatenate([colour, opacity], axis=2) if other.opacity else colour
    found = decode_image(encode_png(pixels_HWC), (SIDE, SIDE), "it", other).astype(float)
    # Pillow draws RGB of 8 bits and the rule draws the rest; both round, on white and to grey.
    steps = 0 if held == wanted else 1.01
    assert np.abs(found - expected * kind.top).max() <= steps


@pytest.mark.parametrize("kind", ALL, ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_pictures_of_every_sort_are_refused_or_become_the_kind(name: str, kind: Kind) -> None:
    """CMYK, palettes, turned, 16 bits …: as RGB of 8 bits has them, and 16 bits beside."""
    data, _, rgb_HWC = KINDS[name]
    try:
        found = decode_image(data, (SIDE, SIDE), "it", kind)
    except DataError as error:
        assert rgb_HWC is None or (kind.bits == 16 and "16 bits" in str(error)), error  # noqa: PT017
        return
    assert found.shape == (SIDE, SIDE, kind.channels)
    if rgb_HWC is None:
        assert kind.bits == 16
        assert np.array_equal(found, as_kind(DEEP_HW[..., None], kind))
    elif "16" not in name and kind.bits == 8 and kind.channels == 4:
        on_white = to_rgb_bytes(torch.from_numpy(found.transpose(2, 0, 1).copy())[None])[0]
        assert np.abs(on_white.permute(1, 2, 0).numpy().astype(int) - rgb_HWC).max() <= 1


def test_eight_bits_become_sixteen_without_a_seam() -> None:
    deep = as_kind(GREY_HW[..., None], Kind(channels=1, bits=16))
    assert np.array_equal(deep, GREY_HW[..., None].astype(np.uint16) * 257)
    assert as_kind(np.full((1, 1, 1), 255, np.uint8), Kind(channels=1, bits=16)).item() == 65535


def tiff(pixels: NDArray[Any], orientation: int = 1, **options: Any) -> bytes:
    """A TIFF; imagecodecs writes kinds that Pillow cannot, and swaps bytes in place."""
    data = bytes(imagecodecs.tiff_encode(pixels.copy(), **options))
    unit, turned = (
        struct.pack("<HHIHH", tag, 3, 1, n, 0) for tag, n in ((296, 1), (274, orientation))
    )
    return data.replace(unit, turned)


@pytest.mark.parametrize("channels", [3, 4])
def test_tiff_of_sixteen_bits_is_read_without_loss(channels: int) -> None:
    kind = Kind(channels=channels, bits=16)
    pixels_HWC = noise(kind, 9, 12)

    def read(data: bytes, size: tuple[int, int] = (12, 9)) -> Pixels:
        return decode_image(data, size, "it", kind)

    for options in (
        {}, {"byteorder": ">"}, {"compression": "lzw", "predictor": 2}, {"tile": (16, 16)},
    ):  # fmt: skip
        assert np.array_equal(read(tiff(pixels_HWC, **options)), pixels_HWC), options
    planes_CHW = pixels_HWC.transpose(2, 0, 1)
    assert np.array_equal(read(tiff(planes_CHW, planarconfig="separate")), pixels_HWC)
    assert np.array_equal(read(tiff(pixels_HWC, 6), (9, 12)), np.rot90(pixels_HWC, -1))
    # Grey, black or white at 0; Pillow turns only the first sort of 8 bits around.
    grey_HW = pixels_HWC[..., 0]
    expected_HWC = as_kind(grey_HW[..., None], kind)
    assert np.array_equal(read(tiff(grey_HW)), expected_HWC)
    assert np.array_equal(read(tiff(65535 - grey_HW, photometric="miniswhite")), expected_HWC)


def test_the_fourth_channel_of_a_tiff_is_what_its_tag_says() -> None:
    kind = Kind(channels=4, bits=16)
    pixels_HWC = noise(kind, 9, 12)
    colour, opacity = pixels_HWC[..., :3].astype(float), pixels_HWC[..., 3:] / 65535
    multiplied_HWC = np.dstack([np.round(colour * opacity), pixels_HWC[..., 3]]).astype(np.uint16)
    data = tiff(multiplied_HWC, extrasample="assocalpha")
    found_HWC = decode_image(data, (12, 9), "it", kind)
    assert (np.abs(found_HWC[..., :3] - colour) * opacity).max() <= 1
    assert np.array_equal(found_HWC[..., 3], pixels_HWC[..., 3])
    found_HWC = decode_image(tiff(pixels_HWC, extrasample="unspecified"), (12, 9), "it", kind)
    assert np.array_equal(found_HWC[..., :3], pixels_HWC[..., :3])
    assert (found_HWC[..., 3] == 65535).all()


def test_tiffs_whose_white_is_unknown_or_whose_colours_are_no_rgb_are_refused() -> None:
    colour_HWC = noise(Kind(channels=4, bits=16))
    grey_HW, packed = colour_HWC[..., 0], tiff(colour_HWC, compression="deflate")
    deep, shallow = Kind(channels=1, bits=16), Kind(channels=1)
    refused = [
        (tiff(grey_HW), shallow, "its pixels are I;16, not 8 bits a channel"),
        (tiff(grey_HW >> 4, bitspersample=12), deep, "12 bits a channel in TIFF"),
        (tiff(colour_HWC, photometric="separated"), deep, "CMYK of 16 bits a channel in TIFF"),
        (packed[:8] + bytes(20) + packed[28:], deep, "cannot be decoded"),
    ]
    for data, kind, said in refused:
        with pytest.raises(DataError, match=said):
            decode_image(data, (SIDE, SIDE), "it", kind)
    with pytest.raises(DataError, match="the file's bytes"):  # of which Pillow keeps the upper 8
        pixels_of(Image.open(io.BytesIO(tiff(colour_HWC))), deep)


def test_a_damaged_png_of_sixteen_bits_is_refused() -> None:
    kind = Kind(channels=4, bits=16)
    data = encode_png(noise(kind))
    with pytest.raises(DataError, match="it cannot be decoded"):
        decode_image(data[: len(data) // 2], (SIDE, SIDE), "it", kind)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_pillow_turns_them(orientation: int) -> None:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(GREY_HW[:9]).save(file, "PNG", exif=exif)
    size = (9, SIDE) if orientation > 4 else (SIDE, 9)
    rgb_HWC = decode_image(file.getvalue(), size, "it")
    grey_HWC = decode_image(file.getvalue(), size, "it", Kind(channels=1))
    assert np.array_equal(grey_HWC, rgb_HWC[..., :1])


def test_resampling_is_that_of_rgb_and_hides_transparent_colours() -> None:
    picture, size = Image.fromarray(COLOUR_HWC), Size(5, 7)
    known_HWC = np.asarray(resize_photograph(picture, *size)).astype(int)
    found_HWC, box = shaped(COLOUR_HWC, size, "crop")
    assert np.abs(found_HWC - known_HWC).max() <= 1
    assert box[2] - box[0] == pytest.approx(SIDE * 5 / 7, abs=1)
    deep_HWC = resampled(as_kind(COLOUR_HWC, Kind(bits=16)), Size(5, 5))
    assert np.abs(deep_HWC / 257 - resampled(COLOUR_HWC, Size(5, 5))).max() <= 0.51
    # The colour where nothing is opaque has no effect on what is seen.
    rgba_HWC = np.dstack([COLOUR_HWC, OPACITY_HW])
    other_HWC = np.where(OPACITY_HW[..., None] > 0, rgba_HWC, np.uint8(0))
    assert np.array_equal(resampled(rgba_HWC, size), resampled(other_HWC, size))
    padded_HWC, _ = shaped(rgba_HWC, Size(SIDE + 4, SIDE), "pad")
    assert np.array_equal(padded_HWC[:, 2:-2], rgba_HWC)
    assert not padded_HWC[:, :2].any()


def test_what_sees_only_rgb_sees_grey_repeated_and_opacity_on_white() -> None:
    image_BCHW = torch.rand(2, 4, 3, 3) * 2 - 1
    colour, opacity = image_BCHW[:, :3], (image_BCHW[:, 3:] + 1) / 2
    torch.testing.assert_close(to_rgb(image_BCHW), colour * opacity + 1 - opacity)
    assert to_rgb(colour).data_ptr() == colour.data_ptr()
    assert torch.equal(to_rgb(colour[:, :1]), colour[:, :1].repeat(1, 3, 1, 1))
    byte_BCHW = torch.randint(0, 256, (2, 3, 3, 3), dtype=torch.uint8)
    assert torch.equal(to_rgb_bytes(byte_BCHW), byte_BCHW)


@pytest.mark.parametrize(("key", "value"), [("channels", 0), ("channels", 5), ("bits", 10)])
def test_other_kinds_are_refused(key: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"^{key} = {value}: must be"):
        Kind(**{key: value})
    assert Kind.of(RGB8.facts()) == RGB8
