"""Sizes of images: one form for squares, another for all other shapes."""

import pytest

from ganinv.errors import ConfigError
from ganinv.sizes import Resolution, Size, size_of


@pytest.mark.parametrize(
    ("resolution", "size", "written"),
    [(128, (128, 128), 128), ("128", (128, 128), 128), ("128x96", (128, 96), "128x96"),
     ("96×128", (96, 128), "96x128"), ("64x64", (64, 64), 64)],
)  # fmt: skip
def test_a_size_is_read_and_written(
    resolution: Resolution, size: tuple[int, int], written: Resolution
) -> None:
    assert size_of(resolution) == size
    assert size_of(resolution).resolution == written
    assert size_of(written) == size
    assert Size(*size).pixels == size[0] * size[1]


@pytest.mark.parametrize("resolution", [0, -1, "", "x", "12x", "12x0", "1.5", "12 x 8", "12x8x3"])
def test_anything_else_is_refused(resolution: Resolution) -> None:
    with pytest.raises(ConfigError, match="is neither pixels a side nor WIDTHxHEIGHT"):
        size_of(resolution)
