"""Avatars: varied, on one background, square, and described by their attributes."""

import functools
import io
import json
from collections import Counter
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
import resvg_py
from dicebear import Avatar, Style
from numpy.typing import NDArray
from PIL import Image

from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions
from ganinv.errors import ConfigError

# Attribute → option of DiceBear's style, and the option for its probability in percent, if any.
STYLE_OPTIONS = {
    "hair": ("topVariant", None),
    "glasses": ("accessoriesVariant", "accessoriesProbability"),
    "beard": ("facialHairVariant", "facialHairProbability"),
    "mouth": ("mouthVariant", None),
    "eyes": ("eyesVariant", None),
    "eyebrows": ("eyebrowsVariant", None),
    "clothes": ("clothesVariant", None),
    "graphic": ("clothesGraphicVariant", None),
    "skin_color": ("skinColor", None),
    "hair_color": ("hairColor", None),
    "hat_color": ("hatColor", None),
    "glasses_color": ("accessoriesColor", None),
    "beard_color": ("facialHairColor", None),
    "clothes_color": ("clothesColor", None),
}


@functools.cache
def _style() -> Style:
    """Read once, because validating a style is slow."""
    text = files("dicebear_styles").joinpath("avataaars.json").read_text("utf-8")
    return Style(json.loads(text))


def _draw(attributes: dict[str, str]) -> NDArray[np.uint8]:
    """RGB, 32 × 32 pixels. The seed decides nothing: every choice is an attribute."""
    options: dict[str, Any] = {"seed": "any", "scale": 280 / 240, "translateY": 100 * 20 / 240}
    for name, (option, probability) in STYLE_OPTIONS.items():
        if attributes[name] != "none":
            options[option] = [attributes[name]]
        if probability:
            options[probability] = 0 if attributes[name] == "none" else 100
    svg = Avatar(_style(), options).to_string()
    png = resvg_py.svg_to_bytes(
        svg_string=svg, width=32, height=32, background="#e8eef4", skip_system_fonts=True
    )
    return np.array(Image.open(io.BytesIO(png)).convert("RGB"))


def test_faces_vary_and_the_background_does_not() -> None:
    samples = list(AvatarSource(BuildOptions(images=100, resolution=16)).samples())
    assert len({s.image_HWC.tobytes() for s in samples}) == 100
    corners = {tuple(s.image_HWC[0, 0]) for s in samples}
    assert corners == {(0xE8, 0xEE, 0xF4)}
    for name in ("hair", "glasses", "mouth", "beard", "skin_color", "clothes"):
        assert len(Counter(s.attributes[name] for s in samples)) >= 4, name


def test_attributes_determine_the_drawing() -> None:
    """Another program draws the same pixels from the attributes alone, and needs each of them."""
    samples = list(AvatarSource(BuildOptions(images=60, resolution=32)).samples())
    assert {frozenset(sample.attributes) for sample in samples} == {frozenset(STYLE_OPTIONS)}
    changed = dict.fromkeys(STYLE_OPTIONS, 0)
    for sample, other in zip(samples, [*samples[1:], samples[0]], strict=True):
        attributes = sample.attributes
        assert np.array_equal(_draw(attributes), sample.image_HWC), sample.key
        for name in STYLE_OPTIONS:
            if attributes[name] != other.attributes[name]:
                drawn = _draw({**attributes, name: other.attributes[name]})
                changed[name] += not np.array_equal(drawn, sample.image_HWC)
    assert min(changed.values()) > 0, changed


def test_a_larger_set_begins_with_the_smaller_one() -> None:
    small = AvatarSource(BuildOptions(images=4, resolution=16)).samples()
    large = AvatarSource(BuildOptions(images=9, resolution=16)).samples()
    for a, b in zip(small, large, strict=False):
        assert np.array_equal(a.image_HWC, b.image_HWC)


def test_they_are_squares() -> None:
    with pytest.raises(ConfigError, match=r"data\.resolution=16x20: avatars are drawn as squares"):
        AvatarSource(BuildOptions(resolution="16x20"))
