"""Getting chosen samples out of shards with few ranged reads, and decoding them."""

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
from datasets.tars import Member
from ganinv.errors import DataError
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
    """A sample as it came from the store. `attributes` are JSON, empty if not asked for."""

    shard: Shard
    member: Member
    image: bytes
    attributes: bytes = b""

    @property
    def what(self) -> str:
        """Its name in messages."""
        return f"image {self.member.key!r} in {self.shard.name}"


def fetch(store: Store, pieces: Sequence[Piece]) -> list[bytes]:
    """The bytes of each piece, in order, by one call of `read_ranges` for all of them."""
    by_place = sorted(range(len(pieces)), key=lambda i: (pieces[i].shard.name, pieces[i].start))
    ranges: list[Range] = []
    place_of = [(0, 0)] * len(pieces)  # number of the range, and where it starts
    name, first, last = "", 0, 0
    for i in by_place:
        shard, start, end = pieces[i]
        if shard.name == name and start - last <= _MAX_GAP_BYTES:
            last = max(last, end)
            ranges[-1] = Range(name, first, last)
        else:
            name, first, last = shard.name, start, end
            ranges.append(Range(name, first, last))
        place_of[i] = len(ranges) - 1, first
    data = store.read_ranges(ranges)
    return [
        data[number][piece.start - first : piece.end - first]
        for piece, (number, first) in zip(pieces, place_of, strict=True)
    ]


def read_encoded(
    store: Store, wanted: Sequence[tuple[Shard, Member]], *, attributes: bool = False
) -> list[Encoded]:
    """The wanted samples, in order, still encoded; with their attributes if these are wanted."""
    pieces = [Piece(s, m.image_start, m.image_start + m.image_bytes) for s, m in wanted]
    if attributes:
        pieces += [Piece(s, m.json_start, m.json_start + m.json_bytes) for s, m in wanted]
    found = iter(fetch(store, [piece for piece in pieces if piece.end > piece.start]))
    texts = [next(found) if piece.end > piece.start else b"" for piece in pieces]
    texts += [b""] * (2 * len(wanted) - len(texts))
    pairs = zip(texts[: len(wanted)], texts[len(wanted) :], strict=True)
    return [Encoded(s, m, *pair) for (s, m), pair in zip(wanted, pairs, strict=True)]


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
