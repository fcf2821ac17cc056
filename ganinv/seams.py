"""The edges of the training loop: five small protocols, and their single-process members.

The same loop runs in one process (`LocalEngine`, `no_reduction`) and on a cluster
(`cluster.engine`, `cluster.collectives`): it sees nothing but these verbs.

Shapes: B samples of the part at hand, C channels, H × W pixels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

# Sums float64 tensors over all workers, in place of the argument's value on every one of them.
SumReduce = Callable[[Tensor], Tensor]


def no_reduction(total: Tensor) -> Tensor:
    """The reduction of a single process."""
    return total


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """Where in the data a run stands: the batches of `epoch` that were trained, times their size.

    `images` counts within the epoch. Equal on all ranks, and all that a loader needs to go on.
    """

    epoch: int
    images: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One rank's share of a global batch.

    `images_BCHW`: uint8. `slots`: the place of each sample in the global batch, ascending.
    `after`: the position once this batch has been trained. `attributes`: what is known of each
    sample, for example its label; None if that is not read.
    """

    images_BCHW: Tensor
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


class Entry(NamedTuple):
    """One stored object: its name below the store's root, with forward slashes, and its size."""

    name: str
    size_bytes: int


class Range(NamedTuple):
    """Bytes `start` up to, not including, `end` of the object `name`."""

    name: str
    start: int
    end: int


# Named outside of the class, where its verb `list` hides the built-in type.
Entries = list[Entry]
Blobs = list[bytes]


class Reader(Protocol):
    """A folder of objects to read: a directory on disk or a prefix in a bucket.

    Every verb raises `StorageMissingError` for a name that is not there and `StorageError` for
    anything else that goes wrong, always with the URL, the reason and the remedy.
    """

    @property
    def url(self) -> str: ...

    def list(self, prefix: str = "") -> Entries:
        """All objects whose name starts with `prefix`, sorted by name; empty if there are none."""
        ...

    def read(self, name: str) -> bytes: ...


class Store(Reader, Protocol):
    """A folder of objects that can be written too; its verbs raise as `Reader`'s.

    A write is visible as a whole or not at all.
    """

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        """The bytes of each range, in order, fetched concurrently; a short answer is an error."""
        ...

    def write(self, name: str, data: bytes | memoryview | Path) -> None:
        """Create or replace an object from memory (bytes one after the other) or from a file."""
        ...

    def write_if_absent(self, name: str, data: bytes) -> None:
        """Create an object, atomically; raises `StorageExistsError` if the name is taken."""
        ...

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects; a name that is not there is no error."""
        ...


class Fragment(NamedTuple):
    """A run of one optimizer moment of one parameter: flat elements from `start` on, as a view."""

    parameter: str
    moment: str
    start: int
    values: Tensor


class Engine(Protocol):
    """One network under training: owns gradients, their mean over ranks and the optimizer.

    A global batch is `backward` for every part, `finite`, `finish`.
    """

    @property
    def network(self) -> nn.Module: ...

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of forward passes."""
        ...

    def set_learning_rate(self, rate: float) -> None:
        """The optimizer's rate of the steps to come."""
        ...

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Accumulate the gradients of a part's loss; `last` marks this rank's last part."""
        ...

    def finite(self) -> Tensor:
        """1.0 if all gradients that this rank holds are finite, else 0.0; float64 on the CPU."""
        ...

    def finish(self, *, apply: bool) -> None:
        """Let the optimizer step with the mean gradient, or forget the gradients."""
        ...

    def gradient_norm(self) -> float:
        """‖mean gradient‖₂ over all parameters at the last step."""
        ...

    def optimizer_fragments(self) -> tuple[list[Fragment], int]:
        """The optimizer moments that this rank is to save, and the number of steps taken."""
        ...

    def load_optimizer(self, moments: Mapping[str, Mapping[str, Tensor]], steps: int) -> None:
        """Take whole moments (moment → parameter → tensor), after the network's weights."""
        ...


@dataclass
class LocalEngine:
    """Trains one network in this process: the plain PyTorch member of the family.

    `parts` is the number of parts (`backward` calls) that make up one global batch.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    parts: int = 1
    _norm: float = float("nan")

    def autocast(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def set_learning_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def backward(self, loss: Tensor, *, last: bool) -> None:
        del last  # nothing is sent anywhere
        (loss / self.parts).backward(inputs=list(self.network.parameters()))

    def finite(self) -> Tensor:
        return torch.tensor(float(torch.isfinite(self._total_norm())), dtype=torch.float64)

    def finish(self, *, apply: bool) -> None:
        if apply:
            self._norm = float(self._total_norm())
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def gradient_norm(self) -> float:
        return self._norm

    def optimizer_fragments(self) -> tuple[list[Fragment], int]:
        steps = 0
        fragments = []
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if key == "step":
                    steps = int(value)
                else:
                    fragments.append(Fragment(name, key, 0, value.view(-1)))
        return fragments, steps

    def load_optimizer(self, moments: Mapping[str, Mapping[str, Tensor]], steps: int) -> None:
        for name, parameter in self.network.named_parameters():
            state: dict[str, Tensor] = {"step": torch.tensor(float(steps))}
            state |= {moment: tensors[name].clone() for moment, tensors in moments.items()}
            if steps:
                self.optimizer.state[parameter] = state
            else:
                self.optimizer.state.pop(parameter, None)

    def _total_norm(self) -> Tensor:
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        return nn.utils.get_total_norm(gradients)
