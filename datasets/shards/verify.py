"""Verifying a data set: read every byte, compare it with the index, decode every image."""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from datasets.parallel import Progress, cores, map_threads, no_progress
from datasets.shards.attributes import parse_attributes
from datasets.shards.images import decode_image
from datasets.shards.index import Index
from datasets.shards.quarantine import QUARANTINE_NAME
from datasets.shards.scan import scan
from datasets.shards.sequential_reader import SequentialReader
from datasets.shards.shard import Shard, load_table
from datasets.shards.tables import layout
from datasets.shards.tar_headers import File
from ganinv.errors import DataError, StorageMissingError
from ganinv.seams.stores import Store


class Problem(NamedTuple):
    """A difference between the data set and its index."""

    shard: str
    key: str | None
    """The key of the sample; None if the problem concerns the whole shard."""
    reason: str


def verify(
    index: Index, store: Store, on_progress: Progress = no_progress, *, workers: int | None = None
) -> list[Problem]:
    """Compare every byte with the index, and decode every image; an empty list means no problem.

    Uses `workers` threads (None: one per core), each of which holds a few MiB. A corrupt image is
    reported by its key; a wrong checksum of a tar only if no corrupt image explains it. Raises
    `StorageError` if the storage is unreachable.
    """
    problems: list[Problem] = []
    tars = index.tars
    parts: dict[str, list[Shard]] = {}
    for shard in index.shards:
        if shard.whole is not None:
            parts.setdefault(shard.name, []).append(shard)
    total = sum(shard.samples for shard in tars)
    images = read_bytes = 0
    sizes = {entry.name: entry.size_bytes for entry in store.list()}
    check = partial(_verify_tar, index, store, sizes, parts)
    on_progress(0, total, 0)
    found = map_threads(check, tars, workers or cores())
    for shard, problems_of_shard in zip(tars, found, strict=True):
        problems += problems_of_shard
        images += shard.samples
        read_bytes += shard.size_bytes
        on_progress(images, total, read_bytes)
    return problems


def write_quarantine(index: Index, store: Store, problems: Sequence[Problem]) -> int:
    """List the corrupt samples beside the index, so that training excludes them.

    Returns the number of samples listed. `quarantine.json` has this form:
    {"fingerprint": of the index, "samples": [[shard, key, reason], …]}.
    """
    samples = [list(problem) for problem in problems if problem.key is not None]
    content = {"fingerprint": index.fingerprint, "samples": samples}
    store.write(QUARANTINE_NAME, (json.dumps(content, indent=1) + "\n").encode())
    return len(samples)


def _verify_tar(
    index: Index,
    store: Store,
    sizes: Mapping[str, int],
    parts: Mapping[str, Sequence[Shard]],
    shard: Shard,
) -> list[Problem]:
    size_bytes = sizes.get(shard.name)
    if size_bytes is None:
        return [Problem(shard.name, None, "is missing; upload it again, or build it again")]
    if size_bytes != shard.size_bytes:
        reason = f"has {size_bytes} bytes instead of {shard.size_bytes}; upload it again"
        return [Problem(shard.name, None, reason)]
    try:
        return list(_compare(index, store, shard, parts.get(shard.name, ())))
    except (StorageMissingError, DataError) as problem:
        return [Problem(shard.name, None, str(problem))]


def _compare(index: Index, store: Store, shard: Shard, parts: Sequence[Shard]) -> Iterator[Problem]:
    """Checks headers, images and checksum in one pass over the tar.

    `parts`: the shards of the splits that share the tar, if they do.
    """
    reader = SequentialReader(store, shard.name, shard.size_bytes, whole=True)
    corrupt: list[Problem] = []
    table = load_table(store, shard)
    known = {member.key: member.image_crc32 for member in table}

    def check(key: str, reason: str) -> None:
        """A sample that the table lacks was left out by `data index`, for the same reason."""
        if key not in known:
            raise DataError(reason)
        corrupt.append(Problem(shard.name, key, reason))

    def on_image(key: str, file: File) -> None:
        data = reader.read(file.start, file.start + file.size_bytes)
        what = f"image {key!r} in {shard.name}"
        try:
            decode_image(data, (index.width, index.height), what, index.kind)
        except DataError as problem:
            check(key, str(problem))
            return
        if known.get(key) not in (None, zlib.crc32(data)):
            check(key, f"{what} has other bytes than were indexed (its CRC-32 differs)")

    def on_attributes(key: str, file: File) -> None:
        data = reader.read(file.start, file.start + file.size_bytes)
        try:
            parse_attributes(data, f"image {key!r} in {shard.name}")
        except DataError as problem:
            check(key, str(problem))

    try:
        members = scan(reader.read, shard.size_bytes, shard.name, on_image, on_attributes).members
    except DataError as problem:
        yield Problem(shard.name, None, str(problem))
    else:
        dealt = [member for part in parts for member in load_table(store, part)]
        in_order = sorted(dealt, key=lambda member: member.image_start) if parts else list(table)
        agree = members == layout(table) == layout(in_order)
        if not agree or len(members) != shard.samples:
            reason = "its samples do not lie where its table says; run `data index` again"
            yield Problem(shard.name, None, reason)
    yield from corrupt
    if not corrupt and shard.sha256 is not None and reader.sha256() != shard.sha256:
        reason = (
            "its bytes are not those that were indexed, although every image can be decoded; if"
            " the change is intended, run `data index data.checksums=true`"
        )
        yield Problem(shard.name, None, reason)
