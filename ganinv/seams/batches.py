"""What the training loop needs from data: batches from any position.

Shapes: B samples, C × H × W pixels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:  # records of bad samples are read without torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """A run's position in the data: `images` images of epoch `epoch` have been trained.

    Equal on all ranks. A loader needs nothing else to resume.
    """

    epoch: int
    images: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One rank's share of a global batch.

    `images_BCHW`: uint8; or int32 for 16 bits, because PyTorch computes little with uint16.
    `slots`: the place of each sample in the global batch, ascending.
    `after`: the position after training on this batch. `attributes`: further data of each sample,
    for example its label; None if attributes are not read.
    """

    images_BCHW: "Tensor"
    slots: tuple[int, ...]
    keys: tuple[str, ...]
    after: Position
    attributes: tuple[Mapping[str, Any], ...] | None = None


class BadSample(NamedTuple):
    """A stored sample that cannot be used: the data set's URL, its shard and key, and why."""

    url: str
    shard: str
    key: str
    reason: str

    @property
    def place(self) -> tuple[str, str, str]:
        return (self.url, self.shard, self.key)


class BatchSource(Protocol):
    """An endless stream of batches that can start anywhere."""

    def batches(self, start: Position) -> Iterator[Batch]: ...
