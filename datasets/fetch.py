"""Getting chosen samples out of shards with few ranged reads, and decoding them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from datasets.images import decode_image
from datasets.shards import Shard
from datasets.tars import Member
from ganinv.seams import Range, Store

# Neighbouring pieces are read as one range if at most this lies between: the headers and the
# attributes of small images cost less than a request. Larger gaps are not paid for.
_MAX_GAP_BYTES = 4096


class Piece(NamedTuple):
    """Bytes `start` up to, not including, `end` of a shard's tar."""

    shard: Shard
    start: int
    end: int


class Encoded(NamedTuple):
    """A sample as it came from the store."""

    shard: Shard
    member: Member
    image: bytes


def fetch(store: Store, pieces: Sequence[Piece]) -> list[bytes]:
    """The bytes of each piece, in order, by one call of `read_ranges` for all of them."""
    by_place = sorted(range(len(pieces)), key=lambda i: (pieces[i].shard.name, pieces[i].start))
    ranges: list[Range] = []
    range_of: dict[int, int] = {}
    for i in by_place:
        shard, start, end = pieces[i]
        last = ranges[-1] if ranges else None
        if last and last.name == shard.name and start - last.end <= _MAX_GAP_BYTES:
            ranges[-1] = last._replace(end=max(last.end, end))
        else:
            ranges.append(Range(shard.name, start, end))
        range_of[i] = len(ranges) - 1
    data = store.read_ranges(ranges)
    found = []
    for i, piece in enumerate(pieces):
        offset = ranges[range_of[i]].start
        found.append(data[range_of[i]][piece.start - offset : piece.end - offset])
    return found


def read_encoded(store: Store, wanted: Sequence[tuple[Shard, Member]]) -> list[Encoded]:
    """The images of the wanted samples, in order, still encoded."""
    pieces = [Piece(s, m.image_start, m.image_start + m.image_bytes) for s, m in wanted]
    images = fetch(store, pieces)
    return [Encoded(s, m, image) for (s, m), image in zip(wanted, images, strict=True)]


def decode_batch(samples: Sequence[Encoded], resolution: int) -> Tensor:
    """uint8, B × 3 × H × W. Raises `DataError` naming shard and key of a damaged image."""
    images_BHWC = np.stack(
        [
            decode_image(s.image, resolution, f"image {s.member.key!r} in {s.shard.name}")
            for s in samples
        ]
    )
    return torch.from_numpy(images_BHWC).permute(0, 3, 1, 2).contiguous()
