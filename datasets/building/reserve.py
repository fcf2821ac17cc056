"""Reserving samples of training tars for tests, chosen by their keys; the tars stay as they are."""

import hashlib
import heapq
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from datasets.parallel import IO_THREADS, map_threads
from datasets.shards.shard import Shard, load_table, write_part
from datasets.shards.splits import SPLITS, Split
from ganinv.errors import ConfigError
from ganinv.seams.stores import Store


def reserve(
    store: Store, splits: Mapping[Split, Sequence[Shard]], test_images: int | float
) -> dict[Split, tuple[Shard, ...]]:
    """The splits, with `test_images` of the training samples in the test split instead.

    An integer is a number of samples, 0 for none; a float in (0, 1) is a share, of at least one
    sample. The samples with the smallest hashes of their keys are chosen, so neither the order of
    the tars nor the time matters. Writes a table for each part of a tar.

    Raises `ConfigError` if there is a test split already, or no training sample would be left.
    """
    if not test_images:
        return {split: tuple(splits[split]) for split in SPLITS}
    shards = splits["train"]
    total = sum(shard.samples for shard in shards)
    if splits["test"]:
        raise ConfigError(
            f"data.test_images={test_images}: there is a test split already, by the names of"
            f" folders or tars such as {splits['test'][0].name}; give data.test_images=0 to use"
            " that one, or data.split_by_name=false to reserve some of all images"
        )
    count = max(1, round(test_images * total)) if isinstance(test_images, float) else test_images
    if count >= total:
        raise ConfigError(
            f"data.test_images={test_images}: there are {total} images, so none would be left for"
            " training; reserve fewer"
        )
    last = max(heapq.nsmallest(count, _ranks_of_all(store, shards)))
    found: dict[Split, list[Shard]] = {"train": [], "test": []}
    for parts in map_threads(partial(_divide, store, last), shards, IO_THREADS):
        for split, part in parts.items():
            found[split].append(part)
    return {split: tuple(found[split]) for split in SPLITS}


def _ranks_of_all(store: Store, shards: Sequence[Shard]) -> Iterator[bytes]:
    for ranks in map_threads(partial(_ranks, store), shards, IO_THREADS):
        yield from ranks


def _ranks(store: Store, shard: Shard) -> list[bytes]:
    return [_rank(shard, member.key) for member in load_table(store, shard)]


def _rank(shard: Shard, key: str) -> bytes:
    """What samples are ordered by: the hash of the key; the tar decides between equal keys."""
    of_key, of_both = (
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for text in (key, f"{shard.name}\0{key}")
    )
    return of_key + of_both


def _divide(store: Store, last: bytes, shard: Shard) -> dict[Split, Shard]:
    """The parts of a tar; `last` is the rank of the last sample that is reserved."""
    members = list(load_table(store, shard))
    reserved = [_rank(shard, member.key) <= last for member in members]
    if all(reserved) or not any(reserved):
        return {"test" if all(reserved) else "train": shard}
    return {
        split: write_part(
            store,
            shard,
            split,
            [m for m, out in zip(members, reserved, strict=True) if out == (split == "test")],
        )
        for split in SPLITS
    }
