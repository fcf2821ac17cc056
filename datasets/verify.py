"""Reading a whole data set again, byte for byte and image for image."""

from collections.abc import Iterator
from typing import NamedTuple

from datasets.images import decode_image
from datasets.index import Index
from datasets.shards import Shard, load_table, sha256_hex
from datasets.source import Progress, no_progress
from datasets.tars import scan_tar
from ganinv.errors import DataError, StorageMissingError
from ganinv.seams import Store


class Problem(NamedTuple):
    """Something of the data set that is not as its index says."""

    shard: str
    key: str | None
    """The sample, or None if the shard as a whole is concerned."""
    reason: str


def verify(index: Index, store: Store, on_progress: Progress = no_progress) -> list[Problem]:
    """Compare every byte with the index, and decode every image; empty if all is well.

    Holds one shard at a time in memory. Storage that cannot be reached raises `StorageError`.
    """
    problems: list[Problem] = []
    total = sum(shard.samples for shard in index.shards)
    images = read_bytes = 0
    for shard in index.shards:
        problems += _verify_shard(index, store, shard)
        images += shard.samples
        read_bytes += shard.size_bytes
        on_progress(images, total, read_bytes)
    return problems


def _verify_shard(index: Index, store: Store, shard: Shard) -> Iterator[Problem]:
    try:
        tar = store.read(shard.name)
        members = load_table(store, shard)
    except (StorageMissingError, DataError) as problem:
        yield Problem(shard.name, None, str(problem))
        return
    if len(tar) != shard.size_bytes:
        yield Problem(shard.name, None, f"has {len(tar)} bytes instead of {shard.size_bytes}")
    elif sha256_hex(tar) != shard.sha256:
        yield Problem(shard.name, None, "its bytes are not those that were indexed")
    try:
        if scan_tar(tar, shard.name) != members:
            yield Problem(shard.name, None, "its samples do not lie where its table says")
    except DataError as problem:
        yield Problem(shard.name, None, str(problem))
    if len(members) != shard.samples:
        yield Problem(shard.name, None, f"has {len(members)} samples instead of {shard.samples}")
    for member in members:
        data = tar[member.image_start : member.image_start + member.image_bytes]
        try:
            decode_image(data, index.resolution, f"image {member.key!r} in {shard.name}")
        except DataError as problem:
            yield Problem(shard.name, member.key, str(problem))
