"""A strip of pictures: held-out images, and what each system makes of them."""

from collections.abc import Mapping
from pathlib import Path

import torch

from benchmarks.systems.photographs import Photographs
from ganinv.model import InvertibleGan
from ganinv.pictures import to_bytes, to_signed
from launch.inversion.strip import strip

SHOWN = 10


def reconstructions(models: Mapping[str, InvertibleGan], data: Photographs, file: Path) -> str:
    """Write the strip; returns what its rows are, from the top, for a caption."""
    real = to_signed(data.test_BCHW[:SHOWN])
    rows = [real, *(model.reconstruct(real) for model in models.values())]
    strip(list(torch.stack([to_bytes(row) for row in rows], 1))).save(file)
    return ", ".join(("held-out images", *models))
