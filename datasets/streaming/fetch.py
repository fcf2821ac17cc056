"""Fetching chosen samples, still encoded, from shards by few ranged reads.

Shapes: P pieces, Q of them not empty, R ranges that cover the pieces.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.shards.shard import Shard
from datasets.shards.tables import TAR_BYTES, Member
from ganinv.seams.stores import Range, Store

# Reading a gap of this size (headers, attributes of small images) costs less than a request.
# Callers that know of few gaps may allow larger gaps.
MAX_GAP_BYTES = 4096


class EncodedSample(NamedTuple):
    """A sample as read from the store."""

    shard: Shard
    member: Member
    image: memoryview
    """PNG, JPEG or WebP."""
    attributes: bytes = b""
    """JSON; empty if the sample has none, or if attributes are not read."""

    @property
    def what(self) -> str:
        """Name of the image in messages."""
        return f"image {self.member.key!r} in {self.shard.name}"


class Pieces(NamedTuple):
    """Pieces of tars, inside the ranges that were read."""

    blobs: Sequence[memoryview]
    """The bytes of each range."""
    blob_of: Sequence[int]
    """For each piece, the number of its range."""
    start: Sequence[int]
    """For each piece, its first byte within its range."""
    end: Sequence[int]
    """For each piece, the byte after its last."""

    def cut(self, number: int) -> memoryview:
        """Piece `number`, not copied: it keeps the whole range in memory."""
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
    """Fetch pieces of tars by one call of `read_ranges`.

    Piece p is the `size_P[p]` bytes from byte `start_P[p]` of the tar `names[tar_P[p]]`. Pieces
    with at most `max_gap_bytes` between them are read as one range. Empty pieces cost nothing.
    """
    # Place all tars on one line, so far apart that no range spans two tars.
    start_P = tar_P * TAR_BYTES + start_P
    end_P = start_P + size_P
    order_Q = np.argsort(start_P, kind="stable")
    order_Q = order_Q[size_P[order_Q] > 0]
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
    columns = (start_R // TAR_BYTES, start_R % TAR_BYTES, end_R - start_R)
    return [
        Range(names[tar], start, start + size_bytes)
        for tar, start, size_bytes in zip(*(column.tolist() for column in columns), strict=True)
    ]


def read_encoded(
    store: Store, wanted: Sequence[tuple[Shard, Member]], *, attributes: bool = False
) -> list[EncodedSample]:
    """Read samples, in the given order and still encoded; also their `attributes` if asked."""
    number_of = {name: n for n, name in enumerate(dict.fromkeys(shard.name for shard, _ in wanted))}
    asked = [(number_of[s.name], m.image_start, m.image_bytes) for s, m in wanted]
    if attributes:
        asked += [(number_of[s.name], m.json_start, m.json_bytes) for s, m in wanted]
    pieces = fetch(store, list(number_of), *np.array(asked, np.int64).reshape(-1, 3).T)
    return [
        EncodedSample(
            shard, member, pieces.cut(i), bytes(pieces.cut(len(wanted) + i)) if attributes else b""
        )
        for i, (shard, member) in enumerate(wanted)
    ]
