"""The ranks that compute figures together, in step, so that none waits long for another."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ganinv.seams.engine import SumReduce, no_reduction

Piece = TypeVar("Piece")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranks:
    """One rank of those that compute a figure together; by default it is alone.

    A collective fails if it waits for longer than `cluster.collective_timeout_s`. So work is dealt
    out in short pieces, and after each of them every rank waits for all others: the longest wait is
    the time of one piece, however long the whole work takes and however unequal the ranks are.
    """

    rank: int = 0
    world: int = 1
    reduce: SumReduce = no_reduction

    def pieces(self, count: int) -> Iterator[int]:
        """The numbers of this rank's pieces out of `count`. All ranks iterate together, to the end.

        Piece i goes to rank i mod `world`. What a piece holds must not depend on `world`, so that
        every number of ranks gives the same bits.
        """
        return self.in_step(range(self.rank, count, self.world), count)

    def in_step(self, own: Iterable[Piece], count: int) -> Iterator[Piece]:
        """`own`, this rank's pieces out of `count`, as `pieces` deals them out."""
        rounds = -(-count // self.world)
        for piece in own:
            yield piece
            self._wait()
            rounds -= 1
        for _ in range(rounds):  # other ranks have one piece more
            self._wait()

    def total(self, part: Tensor) -> Tensor:
        """The sum of all ranks' parts, on the device of `part`. All ranks call this together."""
        return self.reduce(part).to(part.device)

    def _wait(self) -> None:
        self.reduce(torch.zeros(1, dtype=torch.float64))


ALONE = Ranks()
