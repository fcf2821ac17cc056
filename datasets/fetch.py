"""Getting chosen samples out of shards with few ranged reads, and decoding them.

Shapes: P pieces, R ranges.
"""

import json
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.images import decode_image
from datasets.shards import Shard
from datasets.tables import Member
from ganinv.errors import DataError
from ganinv.seams import Blobs, Range, Store

# Neighbouring pieces are read as one range if at most this lies between: the headers and the
# attributes of small images cost less than a request. Larger gaps are not paid for.
_MAX_GAP_BYTES = 4096
# More than any tar has; up to half a million tars are read from at a time.
_APART_BYTES = 2**44


class Encoded(NamedTuple):
    """A sample as it came from the store. `attributes` are JSON, empty if not asked for."""

    shard: Shard
    member: Member
    image: bytes
    attributes: bytes = b""

    @property
    def what(self) -> str:
        """Its name in messages."""
        return f"image {self.member.key!r} in {self.shard.name}"


class Pieces(NamedTuple):
    """Many pieces of tars, inside the ranges they came in: cutting one out copies it."""

    blobs: Blobs
    blob_of: Sequence[int]
    """Of each piece: in which range it lies …"""
    start: Sequence[int]
    """… from which byte of it on …"""
    size_bytes: Sequence[int]
    """… and how long it is."""

    def cut(self, number: int) -> bytes:
        start = self.start[number]
        return self.blobs[self.blob_of[number]][start : start + self.size_bytes[number]]


NO_PIECES = Pieces([], (), (), ())


def fetch(
    store: Store, tars: Sequence[str], starts: Sequence[int], sizes_bytes: Sequence[int]
) -> Pieces:
    """Pieces of tars by one call of `read_ranges`; number i has its tar, start and size there."""
    if not tars:
        return NO_PIECES
    number_of = {name: number for number, name in enumerate(dict.fromkeys(tars))}
    names = list(number_of)
    # As if all tars lay on one line, far from one another.
    start_P = np.array([number_of[name] for name in tars], np.int64) * _APART_BYTES
    start_P += np.array(starts, np.int64)
    end_P = start_P + np.array(sizes_bytes, np.int64)
    order_P = np.argsort(start_P, kind="stable")
    reached_P = np.maximum.accumulate(end_P[order_P])
    is_first_P = np.ones(len(tars), bool)
    is_first_P[1:] = start_P[order_P][1:] - reached_P[:-1] > _MAX_GAP_BYTES
    first_R = np.flatnonzero(is_first_P)
    start_R = start_P[order_P][first_R]
    end_R = reached_P[np.append(first_R[1:], len(tars)) - 1]
    range_P = np.empty(len(tars), np.int64)
    range_P[order_P] = np.cumsum(is_first_P) - 1
    ranges = [
        Range(names[number], start, start + size_bytes)
        for number, start, size_bytes in zip(
            (start_R // _APART_BYTES).tolist(),
            (start_R % _APART_BYTES).tolist(),
            (end_R - start_R).tolist(),
            strict=True,
        )
    ]
    inside_P = start_P - start_R[range_P]
    return Pieces(store.read_ranges(ranges), range_P.tolist(), inside_P.tolist(), sizes_bytes)


def read_encoded(
    store: Store, wanted: Sequence[tuple[Shard, Member]], *, attributes: bool = False
) -> list[Encoded]:
    """The wanted samples, in order, still encoded; with their attributes if these are wanted."""
    tars = [shard.name for shard, _ in wanted]
    starts = [member.image_start for _, member in wanted]
    sizes_bytes = [member.image_bytes for _, member in wanted]
    described = [i for i, (_, member) in enumerate(wanted) if attributes and member.json_bytes]
    tars += [tars[i] for i in described]
    starts += [wanted[i][1].json_start for i in described]
    sizes_bytes += [wanted[i][1].json_bytes for i in described]
    pieces = fetch(store, tars, starts, sizes_bytes)
    texts = {i: pieces.cut(len(wanted) + number) for number, i in enumerate(described)}
    return [
        Encoded(shard, member, pieces.cut(i), texts.get(i, b""))
        for i, (shard, member) in enumerate(wanted)
    ]


def decode_sample(sample: Encoded, resolution: int) -> NDArray[np.uint8]:
    """RGB uint8, H × W × 3. Raises `DataError` naming shard and key of a damaged image."""
    expected = sample.member.image_crc32
    if expected is not None and zlib.crc32(sample.image) != expected:
        raise DataError(
            f"{sample.what} has other bytes than were indexed (its CRC-32 differs); restore the"
            " shard, or run `data build` or `data index` anew"
        )
    return decode_image(sample.image, resolution, sample.what)


def decode_attributes(sample: Encoded) -> dict[str, Any]:
    """{} where there are none. Raises `DataError` for what is no JSON object."""
    try:
        found = json.loads(sample.attributes or b"{}")
    except ValueError as problem:
        raise DataError(
            f"the attributes of {sample.what} are no JSON ({problem}); build the shard again"
        ) from problem
    if not isinstance(found, dict):
        raise DataError(f"the attributes of {sample.what} are no JSON object; build it again")
    return found


def stack_images(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """B images of H × W × 3 as one contiguous tensor B × 3 × H × W."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
