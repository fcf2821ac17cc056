"""DiceBear avataaars: procedurally drawn, centred faces with known attributes; needs no network.

The drawings are Pablo Stanley's Avataaars (https://avataaars.com), free for personal and
commercial use. They are drawings, not photographs; every figure measured on them should say so.
"""

import functools
import io
import json
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import numpy as np
import resvg_py
from dicebear import Avatar, Style
from numpy.typing import NDArray
from PIL import Image

from datasets.shards.splits import split_of
from datasets.sources.base import BuildOptions, Inputs, Sample, Source, Work
from ganinv.errors import ConfigError

_DEFAULT_IMAGES = 8192
_BACKGROUND = "#e8eef4"

# The bust fills 280 units; scale and translation show its upper 240, so that more of the pixels
# are face. The probabilities, in percent, are raised from 10 so that no attribute is rare.
_STYLE_OPTIONS: dict[str, Any] = {
    "scale": 280 / 240,
    "translateY": 100 * 20 / 240,
    "accessoriesProbability": 30,
    "facialHairProbability": 25,
}

# Attribute → name of the style's option. Colours are "#rrggbb"; a part that is not drawn is "none".
_VARIANTS = {
    "hair": "topVariant",
    "glasses": "accessoriesVariant",
    "beard": "facialHairVariant",
    "mouth": "mouthVariant",
    "eyes": "eyesVariant",
    "eyebrows": "eyebrowsVariant",
    "clothes": "clothesVariant",
    "graphic": "clothesGraphicVariant",
}
_COLORS = {
    "skin_color": "skinColor",
    "hair_color": "hairColor",
    "hat_color": "hatColor",
    "glasses_color": "accessoriesColor",
    "beard_color": "facialHairColor",
    "clothes_color": "clothesColor",
}

_WORK_AVATARS = 32  # per call of work: enough to make the traffic between processes cheap


class AvatarSource(Source):
    """`images` (8192 by default) avatars. Each depends only on the seed and its number."""

    def __init__(self, options: BuildOptions) -> None:
        """Raises `ConfigError` unless the resolution is a square."""
        if options.geometry.side is None:
            raise ConfigError(
                f"data.resolution={options.resolution}: avatars are drawn as squares; give pixels"
                " a side"
            )
        self.count = options.images or _DEFAULT_IMAGES
        self._resolution = options.geometry.side
        self._seed = options.seed

    def work(self, first: int) -> Iterator[Work]:
        for start in range(first, self.count, _WORK_AVATARS):
            numbers = range(start, min(start + _WORK_AVATARS, self.count))
            yield functools.partial(_draw, self._seed, self._resolution, self.count, numbers)

    def description(self) -> dict[str, Any]:
        packages = ("dicebear-core", "dicebear-styles", "resvg-py")
        return {
            "source": "avatars",
            "images": self.count,
            "resolution": self._resolution,
            "seed": self._seed,
            "licence": "Avataaars by Pablo Stanley, free for personal and commercial use",
            "made_by": {name: version(name) for name in packages},
        }


def source(options: BuildOptions, inputs: Inputs) -> AvatarSource:
    del inputs  # avatars are drawn, not read
    return AvatarSource(options)


def _draw(seed: int, resolution: int, count: int, numbers: range) -> list[Sample]:
    samples = []
    for number in numbers:
        image_HWC, attributes = _render(seed, resolution, number)
        samples.append(
            Sample(
                key=f"{number:08d}",
                image_HWC=image_HWC,
                attributes=attributes,
                split=split_of(number, count),
            )
        )
    return samples


@functools.cache
def _style() -> Style:
    text = files("dicebear_styles").joinpath("avataaars.json").read_text("utf-8")
    return Style(json.loads(text))


def _render(seed: int, resolution: int, number: int) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """Avatar `number` of `seed` as RGB uint8, H = W = resolution, and its attributes."""
    avatar = Avatar(_style(), {"seed": f"{seed}-{number}", **_STYLE_OPTIONS})
    png = resvg_py.svg_to_bytes(
        svg_string=avatar.to_string(),
        width=resolution,
        height=resolution,
        background=_BACKGROUND,
        skip_system_fonts=True,
    )
    drawn = avatar.to_json()["options"]
    attributes = {name: drawn.get(option, "none") for name, option in _VARIANTS.items()}
    attributes |= {name: drawn.get(option, ["none"])[0] for name, option in _COLORS.items()}
    return np.array(Image.open(io.BytesIO(png)).convert("RGB")), attributes
