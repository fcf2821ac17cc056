"""Samples by their numbers in the index, for evaluation and pictures."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from datasets.shards.index import Index
from datasets.shards.quarantine import Quarantine
from datasets.shards.shard import Shard, load_table
from datasets.shards.splits import Split
from datasets.shards.tables import Member
from datasets.streaming.decoding import Decoder, decode_attributes, decode_sample, stack_images
from datasets.streaming.fetch import read_encoded
from ganinv.errors import DataError
from ganinv.seams.stores import Store


def read_samples(
    store: Store, index: Index, split: Split, first: int, count: int
) -> tuple[Tensor, tuple[str, ...], tuple[dict[str, Any], ...]]:
    """Samples `first` up to `first + count` of a split in the order of the index.

    Returns images (uint8, B × 3 × H × W), keys and attributes ({} where there are none). Raises
    `DataError` if the split has not as many, or one of them is damaged.
    """
    wanted = locate(store, index, split, range(first, first + count))
    samples = read_encoded(store, wanted, attributes=True)
    images_BCHW = stack_images([decode_sample(sample, index.resolution) for sample in samples])
    keys = tuple(sample.member.key for sample in samples)
    return images_BCHW, keys, tuple(decode_attributes(sample) for sample in samples)


def read_good_images(
    store: Store, index: Index, split: Split, numbers: range, quarantine: Quarantine
) -> tuple[list[int], Tensor]:
    """Those of the wanted samples that are no damaged ones: their numbers and images.

    Which these are depends on the content of the data alone. Images are uint8, B × 3 × H × W. The
    damaged ones, which were read twice, go into `quarantine`. Raises `DataError` if there are too
    many of them.
    """
    decoder = Decoder(
        store=store, resolution=index.resolution, attributes=False, quarantine=quarantine
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
    none = torch.zeros(0, 3, index.resolution, index.resolution, dtype=torch.uint8)
    return good, stack_images(images) if images else none


def locate(
    store: Store, index: Index, split: Split, numbers: range
) -> Sequence[tuple[Shard, Member]]:
    """Where samples lie. Raises `DataError` if the split has not all of them."""
    first, end = numbers.start, numbers.stop
    if not 0 <= first < end <= index.samples(split):
        raise DataError(
            f"samples {first} to {end - 1} of the split {split!r} were asked for and it"
            f" has {index.samples(split)}; ask for fewer, or build a larger data set"
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
