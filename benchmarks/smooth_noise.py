"""Synthetic images for benchmarks, as large as photographs once they are encoded."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from datasets.sources.base import Sample, Source, Work


class SmoothNoise(Source):
    """A source of images that compress about as well as photographs do."""

    def __init__(self, count: int, resolution: int) -> None:
        self.count = count
        self._resolution = resolution

    def work(self, first: int) -> Iterator[Work]:
        for number in range(first, self.count):
            yield functools.partial(_smooth_noise, number, self._resolution)

    def description(self) -> dict[str, Any]:
        return {"source": "smooth noise", "images": self.count, "resolution": self._resolution}


def _smooth_noise(number: int, resolution: int) -> list[Sample]:
    coarse = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((resolution, resolution), Image.Resampling.BICUBIC)
    image_HWC = np.asarray(picture)
    return [Sample(key=f"{number:08}", image_HWC=image_HWC, attributes={}, split="train")]
