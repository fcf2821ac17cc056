"""Samples by their numbers in the index, for evaluation and pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets.shards.index import Index
from datasets.shards.quarantine import Quarantine
from datasets.shards.shard import Shard, load_table
from datasets.shards.splits import Split
from datasets.shards.tables import Member
from datasets.streaming.decoding import Decoder, decode_attributes, decode_sample, stack_images
from datasets.streaming.fetch import EncodedSample, fetch, read_encoded
from ganinv.errors import DataError
from ganinv.seams.stores import Store


def read_samples(
    store: Store, index: Index, split: Split, first: int, count: int
) -> tuple[Tensor, tuple[str, ...], tuple[dict[str, Any], ...]]:
    """Samples `first` to `first + count - 1` of a split, in the order of the index.

    Returns images (B × C × H × W, as in `Batch`), keys and attributes ({} for a sample
    without). Raises
    `DataError` if the split has fewer samples, or one of the samples is corrupt.
    """
    wanted = locate(store, index, split, range(first, first + count))
    samples = read_encoded(store, wanted, attributes=True)
    images_BCHW = stack_images(
        [decode_sample(sample, index.size, index.kind) for sample in samples]
    )
    keys = tuple(sample.member.key for sample in samples)
    return images_BCHW, keys, tuple(decode_attributes(sample) for sample in samples)


def read_attributes(
    store: Store, index: Index, split: Split, numbers: range
) -> list[dict[str, Any]]:
    """The attributes of the samples `numbers` of a split; {} for a sample without.

    The images are not read. Raises `DataError` for attributes that are not a JSON object.
    """
    return [found for _, found in read_attributes_with_keys(store, index, split, numbers)]


def read_attributes_with_keys(
    store: Store, index: Index, split: Split, numbers: range
) -> list[tuple[str, dict[str, Any]]]:
    """As `read_attributes`, each with the key of its sample."""
    wanted = locate(store, index, split, numbers)
    number_of = {name: n for n, name in enumerate(dict.fromkeys(shard.name for shard, _ in wanted))}
    asked = [(number_of[s.name], m.json_start, m.json_bytes) for s, m in wanted]
    pieces = fetch(store, list(number_of), *np.array(asked, np.int64).reshape(-1, 3).T)
    return [
        (
            member.key,
            decode_attributes(
                EncodedSample(shard, member, memoryview(b""), bytes(pieces.cut(number)))
            ),
        )
        for number, (shard, member) in enumerate(wanted)
    ]


def read_good_images(
    store: Store, index: Index, split: Split, numbers: range, quarantine: Quarantine
) -> tuple[list[int], Tensor]:
    """The good samples among the samples `numbers` of a split: their numbers and images.

    Images are B × C × H × W, as in `Batch`. Which samples are good depends on the content of the
    data
    alone. Corrupt samples are read twice, then put into `quarantine`. Raises `DataError` if the
    quarantine exceeds its limit.
    """
    decoder = Decoder(
        store=store, size=index.size, kind=index.kind, attributes=False, quarantine=quarantine
    )
    wanted = [
        (number, shard, member)
        for number, (shard, member) in zip(
            numbers, locate(store, index, split, numbers), strict=True
        )
        if not quarantine.holds(store.url, shard.name, member.key)
    ]
    samples = read_encoded(store, [(shard, member) for _, shard, member in wanted])
    found = [decoder.attempt(sample) for sample in samples]
    good = [number for (number, *_), sample in zip(wanted, found, strict=True) if sample]
    images = [sample.image_HWC for sample in found if sample]
    return good, stack_images(images) if images else no_images(index)


def no_images(index: Index) -> Tensor:
    """A batch of no images of a data set."""
    held = torch.uint8 if index.kind.bits == 8 else torch.int32
    return torch.zeros(0, index.image_channels, index.height, index.width, dtype=held)


def locate(
    store: Store, index: Index, split: Split, numbers: range
) -> Sequence[tuple[Shard, Member]]:
    """Where the samples `numbers` are stored. Raises `DataError` if the split has fewer samples."""
    first, end = numbers.start, numbers.stop
    if not 0 <= first < end <= index.samples(split):
        raise DataError(
            f"samples {first} to {end - 1} of the split {split!r} were requested, but it has"
            f" {index.samples(split)}; request fewer, or build a larger data set"
        )
    found: list[tuple[Shard, Member]] = []
    start = 0
    for shard in index.splits[split]:
        inside = range(max(first - start, 0), min(end - start, shard.samples))
        if inside:
            table = load_table(store, shard)
            found += [(shard, table.member(number)) for number in inside]
        start += shard.samples
    return found
