"""Where claims on several systems find data and trained models; `__main__` says where.

Models are trained once for all claims, and for `python -m benchmarks.editing`.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

from benchmarks.editing import LABELS
from benchmarks.systems import training
from benchmarks.systems.classifier import Judge, judge
from benchmarks.systems.photographs import Photographs, drawn_faces, photographs
from ganinv.errors import ConfigError
from ganinv.model import InvertibleGan
from launch.editing.labels import Label

CLASSES = tuple(f"label={number}" for number in range(10))  # of Fashion-MNIST


@dataclass
class _Places:
    folder: Path = Path("runs/systems")
    fashion: str | None = None
    digits: str | None = None


PLACES = _Places()


@functools.cache
def judged(images: str) -> tuple[Photographs, Judge]:
    """Images by their name, and a network trained on their labels.

    Raises `ConfigError` if no data set of Fashion-MNIST is named.
    """
    labels: tuple[str, ...]
    if images == "avatars32":
        data, labels = drawn_faces(PLACES.folder), tuple(LABELS)
    elif PLACES.fashion is None:
        raise ConfigError("--fashion: name a data set of Fashion-MNIST; docs/data.md builds one")
    else:
        data, labels = photographs(images, PLACES.fashion), CLASSES
    return data, judge(data, [Label.parse(text) for text in labels], seed=0)


def trained(system: str, images: str, seed: int) -> InvertibleGan:
    return training.trained(system, judged(images)[0], seed, PLACES.folder)
