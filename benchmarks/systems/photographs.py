"""The images that the systems are trained and measured on, in memory.

`avatars32`: drawn faces, built once; `fashion32`: Fashion-MNIST, from a data set that was built as
docs/data.md says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.speed.everything import avatars
from cluster.storage.opening import open_store
from datasets.shards.index import Index
from datasets.shards.splits import Split
from datasets.streaming.samples import read_samples
from ganinv.errors import ConfigError

RESOLUTION = 32
MOST: Mapping[Split, int] = {"train": 16_384, "test": 1_024}
DRAWN = 18_724  # of which one in eight is held out


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """uint8 images B × C × H × W with their attributes, to train on and held out."""

    name: str
    train_BCHW: Tensor
    test_BCHW: Tensor
    train_attributes: Sequence[Mapping[str, Any]]
    test_attributes: Sequence[Mapping[str, Any]]


def drawn_faces(folder: Path) -> Photographs:
    """`folder` keeps the data set."""
    return photographs("avatars32", avatars(folder, RESOLUTION, DRAWN))


def photographs(name: str, place: str | Path) -> Photographs:
    """The first images of a data set at 32 pixels."""
    store = open_store(str(place))
    index = Index.load(store)
    if (index.size.width, index.size.height) != (RESOLUTION, RESOLUTION):
        raise ConfigError(f"{place}: has images of {index.size} pixels; build it with 32")
    train, test = (
        read_samples(store, index, split, 0, min(index.samples(split), most))
        for split, most in MOST.items()
    )
    return Photographs(
        name=name,
        train_BCHW=train[0],
        test_BCHW=test[0],
        train_attributes=train[2],
        test_attributes=test[2],
    )
