"""Getting chosen samples out of shards with few ranged reads, and decoding them.

Shapes: P pieces, R ranges that they are read by.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.shards.shard import Shard
from datasets.shards.tables import TAR_BYTES, Member
from ganinv.seams.stores import Range, Store

# The headers and the attributes of small images cost less than a request. Larger gaps are not paid
# for, unless the caller knows that there are few.
MAX_GAP_BYTES = 4096


class Encoded(NamedTuple):
    """A sample as it came from the store. `attributes` are JSON, empty if not asked for."""

    shard: Shard
    member: Member
    image: memoryview
    attributes: bytes = b""

    @property
    def what(self) -> str:
        """Its name in messages."""
        return f"image {self.member.key!r} in {self.shard.name}"


class Pieces(NamedTuple):
    """Many pieces of tars, inside the ranges they came in."""

    blobs: Sequence[memoryview]
    blob_of: Sequence[int]
    """Of each piece: in which range it lies …"""
    start: Sequence[int]
    """… from which byte of it on …"""
    end: Sequence[int]
    """… and up to which."""

    def cut(self, number: int) -> memoryview:
        """Without a copy: the whole range stays as long as the piece."""
        return self.blobs[self.blob_of[number]][self.start[number] : self.end[number]]


NO_PIECES = Pieces([], (), (), ())


def fetch(
    store: Store,
    names: Sequence[str],
    tar_P: NDArray[np.int64],
    start_P: NDArray[np.int64],
    size_P: NDArray[np.int64],
    max_gap_bytes: int = MAX_GAP_BYTES,
) -> Pieces:
    """Pieces of the tars `names` by one call of `read_ranges`: number of the tar, start, size.

    Pieces become one range if at most `max_gap_bytes` lie between. Empty ones cost nothing.
    """
    # As if all tars lay on one line, far from one another.
    start_P = tar_P * TAR_BYTES + start_P
    end_P = start_P + size_P
    order_Q = np.argsort(start_P, kind="stable")
    order_Q = order_Q[size_P[order_Q] > 0]  # Q of the P pieces are not empty
    if not len(order_Q):
        return Pieces([memoryview(b"")], *[[0] * len(start_P)] * 3)
    reached_Q = np.maximum.accumulate(end_P[order_Q])
    is_first_Q = np.ones(len(order_Q), bool)
    is_first_Q[1:] = start_P[order_Q][1:] - reached_Q[:-1] > max_gap_bytes
    first_R = np.flatnonzero(is_first_Q)
    start_R = start_P[order_Q][first_R]
    end_R = reached_Q[np.append(first_R[1:], len(order_Q)) - 1]
    range_P = np.zeros(len(start_P), np.int64)
    range_P[order_Q] = np.cumsum(is_first_Q) - 1
    inside_P = np.where(size_P > 0, start_P - start_R[range_P], 0)
    blobs = [memoryview(blob) for blob in store.read_ranges(_ranges(names, start_R, end_R))]
    return Pieces(blobs, range_P.tolist(), inside_P.tolist(), (inside_P + size_P).tolist())


def _ranges(
    names: Sequence[str], start_R: NDArray[np.int64], end_R: NDArray[np.int64]
) -> list[Range]:
    places = (start_R // TAR_BYTES, start_R % TAR_BYTES, end_R - start_R)
    return [
        Range(names[number], start, start + size_bytes)
        for number, start, size_bytes in zip(*(column.tolist() for column in places), strict=True)
    ]


def read_encoded(
    store: Store, wanted: Sequence[tuple[Shard, Member]], *, attributes: bool = False
) -> list[Encoded]:
    """The wanted samples, in order, still encoded; with their attributes if these are wanted."""
    number_of = {name: n for n, name in enumerate(dict.fromkeys(shard.name for shard, _ in wanted))}
    rows = [(number_of[s.name], m.image_start, m.image_bytes) for s, m in wanted]
    if attributes:
        rows += [(number_of[s.name], m.json_start, m.json_bytes) for s, m in wanted]
    pieces = fetch(store, list(number_of), *np.array(rows, np.int64).reshape(-1, 3).T)
    return [
        Encoded(
            shard, member, pieces.cut(i), bytes(pieces.cut(len(wanted) + i)) if attributes else b""
        )
        for i, (shard, member) in enumerate(wanted)
    ]
