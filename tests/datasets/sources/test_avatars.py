"""Avatars: varied, on one background, and square."""

from collections import Counter

import numpy as np
import pytest

from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions
from ganinv.errors import ConfigError


def test_faces_vary_and_the_background_does_not() -> None:
    samples = list(AvatarSource(BuildOptions(images=100, resolution=16)).samples())
    assert len({s.image_HWC.tobytes() for s in samples}) == 100
    corners = {tuple(s.image_HWC[0, 0]) for s in samples}
    assert corners == {(0xE8, 0xEE, 0xF4)}
    for name in ("hair", "glasses", "mouth", "beard", "skin_color", "clothes"):
        assert len(Counter(s.attributes[name] for s in samples)) >= 4, name


def test_attributes_describe_the_drawing() -> None:
    samples = list(AvatarSource(BuildOptions(images=60, resolution=16)).samples())
    for sample in samples:
        rgb = bytes.fromhex(sample.attributes["skin_color"][1:])
        # The neck is always bare skin, in its own colour or in the shadow of the chin.
        neck_HWC = sample.image_HWC[9:14, 6:10].astype(int)
        shadow = np.array([0.9 * c for c in rgb])
        nearest = min(
            np.abs(neck_HWC - np.array(list(rgb))).max(-1).min(),
            np.abs(neck_HWC - shadow).max(-1).min(),
        )
        covered = sample.attributes["beard"] != "none" or sample.attributes["hair"] == "hijab"
        assert nearest < 12 or covered, sample


def test_a_larger_set_begins_with_the_smaller_one() -> None:
    small = AvatarSource(BuildOptions(images=4, resolution=16)).samples()
    large = AvatarSource(BuildOptions(images=9, resolution=16)).samples()
    for a, b in zip(small, large, strict=False):
        assert np.array_equal(a.image_HWC, b.image_HWC)


def test_they_are_squares() -> None:
    with pytest.raises(ConfigError, match=r"data\.resolution=16x20: avatars are drawn as squares"):
        AvatarSource(BuildOptions(resolution="16x20"))
