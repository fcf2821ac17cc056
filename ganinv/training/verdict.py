"""What the ranks found in a step: which quantities were non-finite. A step with any is void.

On a GPU, the host starts the next step before the device has ended this one. So a verdict is copied
to the host behind the step's kernels, and whoever reads it waits for that copy.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class _Round(NamedTuple):
    names: Sequence[str]
    ranks_with: Tensor  # in the host's memory, once `copied`
    copied: torch.cuda.Event | None


class Verdict:
    """The same on all ranks."""

    def __init__(self) -> None:
        self._rounds: list[_Round] = []

    def add_round(self, names: Sequence[str], ranks_with: Tensor) -> None:
        """`ranks_with`: for each name, on how many ranks it was non-finite."""
        on_host = ranks_with.to("cpu", non_blocking=True)  # of a GPU: into page-locked memory
        copied = None
        if ranks_with.device.type == "cuda":
            copied = torch.cuda.Event()
            copied.record(torch.cuda.current_stream(ranks_with.device))
        self._rounds.append(_Round(names, on_host, copied))

    @property
    def nonfinite(self) -> tuple[str, ...]:
        """What was non-finite in the first round that met anything of the kind."""
        for names, ranks_with, copied in self._rounds:
            if copied is not None:
                copied.synchronize()
            found = zip(names, ranks_with.tolist(), strict=True)
            if nonfinite := tuple(name for name, ranks in found if ranks):
                return nonfinite
        return ()


class Ended(NamedTuple):
    """A step that has ended, and whether it was void."""

    images_seen: int  # after it
    nonfinite: tuple[str, ...]  # empty if it was not void
    voids_in_a_row: int  # up to this step

    @property
    def applied(self) -> bool:
        return not self.nonfinite
