"""The pixels of a picture: every kind has one definition, or is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from ganinv.errors import DataError
from ganinv.pixels import upright_rgb, upright_size
from tests.support.picture_kinds import COLOUR_HWC, KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_pixels_that_it_is_meant_to_have_or_is_refused(kind: str) -> None:
    data, _, expected_HWC = KINDS[kind]
    with Image.open(io.BytesIO(data)) as picture:
        if expected_HWC is None:
            with pytest.raises(DataError, match="convert it before"):
                upright_size(picture)
            with pytest.raises(DataError, match="convert it before"):
                upright_rgb(picture)
            return
        found = upright_rgb(picture)
    assert found.mode == "RGB"
    assert np.array_equal(np.asarray(found), expected_HWC)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_the_size_from_the_header_is_that_of_the_pixels(kind: str) -> None:
    oblong = Image.fromarray(COLOUR_HWC[:9])
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = io.BytesIO()
        oblong.save(file, kind, exif=exif)
        with Image.open(file) as picture:
            size = upright_size(picture)
            assert size == (oblong.size if orientation < 5 else oblong.size[::-1])
        with Image.open(file) as picture:
            assert upright_rgb(picture).size == size


def test_a_plain_picture_is_not_copied() -> None:
    picture = Image.fromarray(COLOUR_HWC)
    assert upright_rgb(picture) is picture
