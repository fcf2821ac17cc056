"""The options of `ganinv edit`."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from datasets.sources.base import DEFAULT_MAX_PIXELS
from ganinv.alignment.aligning import check_alignment
from ganinv.editing.sequences import even_strengths
from ganinv.errors import ConfigError

_LAYERS = re.compile(r"(\d+)(?:-(\d+))?")
SOURCES = ("images", "settings", "samples", "data")  # of pictures; one of them is given


@dataclass(frozen=True, kw_only=True, slots=True)
class EditConfig:
    """Which pictures are edited, how, and where the results go. Strengths are in σ."""

    to: str | None = None  # folder
    page: str | None = None  # file
    model: str | None = None  # an export, or a run, instead of storage.run
    images: str | None = None  # folder or file
    settings: str | None = None  # file
    samples: int = 0  # random ones
    data: int = 0  # images of a data set
    split: Literal["test", "train"] = "test"
    align: str | None = None  # of images: faces, crop, pad or stretch; None: as the model's data
    seed: int = 0  # of samples and noise
    boundaries: str | None = None  # file; None: boundaries.safetensors beside the model
    by: dict[str, float] = field(default_factory=dict)  # strengths
    to_distance: dict[str, float] = field(default_factory=dict)
    strip: list[str] = field(default_factory=list)
    elements: int = 0  # strips of the most informative ones
    reach: float = 3.0  # strength at the ends of strips
    steps: int = 9  # of a strip, and from one picture to the next
    interpolate: Literal["none", "linear", "arc"] = "none"
    mix: str | None = None  # layers: FIRST-LAST
    noise: int = 0  # pictures with noise on the code, of each picture
    noise_variance: float = 0.3  # as in DLSGAN fig. 15
    animation: Literal["none", "webp", "gif"] = "none"
    max_unreadable: float = 0.01  # ratio, 0–1
    max_pixels: int = DEFAULT_MAX_PIXELS  # of one image; larger ones are skipped
    overwrite: bool = False

    def __post_init__(self) -> None:
        for key in ("to", "page", "images"):
            if "://" in (getattr(self, key) or ""):
                raise ConfigError(f"{key} = {getattr(self, key)!r}: must lie on this disk")
        check_alignment(self.align)
        for key in ("samples", "data", "elements", "noise", "seed"):
            if getattr(self, key) < 0:
                raise ConfigError(f"{key} = {getattr(self, key)}: must not be below 0")
        for key in ("by", "to_distance"):
            _check_finite(key, getattr(self, key))
        even_strengths(self.reach, self.steps)
        if not (math.isfinite(self.noise_variance) and self.noise_variance > 0):
            raise ConfigError(f"noise_variance = {self.noise_variance}: must be above 0")
        if not 0 <= self.max_unreadable <= 1:
            raise ConfigError(f"max_unreadable = {self.max_unreadable}: must lie within 0–1")
        if self.max_pixels < 1:
            raise ConfigError(f"max_pixels = {self.max_pixels}: must be 1 or more")
        if self.mix is not None:
            layers_of(self.mix)

    def check_source(self) -> None:
        """Raises `ConfigError` if pictures come from nowhere, or from two places."""
        given = [key for key in SOURCES if getattr(self, key)]
        if len(given) != 1:
            which = " and ".join(f"edit.{key}" for key in given) or "none"
            raise ConfigError(
                "edit.images, edit.settings, edit.samples, edit.data: give one of them, for the "
                f"pictures to edit; there is {which}"
            )


def with_lists(words: Iterable[str]) -> list[str]:
    """The words with `edit.strip=NAME` written as a list of one name."""
    found = []
    for word in words:
        key, _, text = word.partition("=")
        single = key == "edit.strip" and text and not text.startswith("[")
        found.append(f"{key}=[{json.dumps(text)}]" if single else word)
    return found


def layers_of(text: str) -> range:
    """The layers of `FIRST-LAST`, or of one number. Raises `ConfigError` for other words."""
    found = _LAYERS.fullmatch(text)
    layers = range(0)
    if found is not None:
        first = int(found[1])
        layers = range(first, int(found[2] or first) + 1)
    if not layers:
        raise ConfigError(f"mix = {text!r}: write layers as FIRST-LAST, for example 0-3")
    return layers


def _check_finite(key: str, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ConfigError(f"{key}.{name} = {value}: must be a finite number of σ")
