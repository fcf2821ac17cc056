"""Reading a whole data set again, byte for byte and image for image."""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from datasets.parallel import Progress, cores, map_threads, no_progress
from datasets.shards.images import decode_sized
from datasets.shards.index import Index
from datasets.shards.pass_through import Window
from datasets.shards.quarantine import QUARANTINE_NAME
from datasets.shards.shard import Shard, load_table
from datasets.shards.tables import layout
from datasets.shards.tar_headers import File
from datasets.shards.tars import scan
from ganinv.errors import DataError, StorageMissingError
from ganinv.seams.stores import Store


class Problem(NamedTuple):
    """Something of the data set that is not as its index says."""

    shard: str
    key: str | None
    """The sample, or None if the shard as a whole is concerned."""
    reason: str


def verify(
    index: Index, store: Store, on_progress: Progress = no_progress, *, workers: int | None = None
) -> list[Problem]:
    """Compare every byte with the index, and decode every image; empty if all is well.

    By threads, one a core unless told, each of which holds a few MiB. A damaged image is named as
    such; a checksum that does not fit is reported where no damaged image explains it. Storage that
    cannot be reached raises `StorageError`.
    """
    problems: list[Problem] = []
    total = sum(shard.samples for shard in index.shards)
    images = read_bytes = 0
    sizes = {entry.name: entry.size_bytes for entry in store.list()}
    check = partial(_verify_shard, index, store, sizes)
    on_progress(0, total, 0)
    found = map_threads(check, index.shards, workers or cores())
    for shard, of_shard in zip(index.shards, found, strict=True):
        problems += of_shard
        images += shard.samples
        read_bytes += shard.size_bytes
        on_progress(images, total, read_bytes)
    return problems


def write_quarantine(index: Index, store: Store, problems: Sequence[Problem]) -> int:
    """List the damaged samples beside the index, for training to leave out; returns their number.

    `quarantine.json`: {"fingerprint": of the index, "samples": [[shard, key, reason], …]}.
    """
    samples = [list(problem) for problem in problems if problem.key is not None]
    content = {"fingerprint": index.fingerprint, "samples": samples}
    store.write(QUARANTINE_NAME, (json.dumps(content, indent=1) + "\n").encode())
    return len(samples)


def _verify_shard(
    index: Index, store: Store, sizes: Mapping[str, int], shard: Shard
) -> list[Problem]:
    size_bytes = sizes.get(shard.name)
    if size_bytes is None:
        return [Problem(shard.name, None, "is missing; upload it again, or build anew")]
    if size_bytes != shard.size_bytes:
        reason = f"has {size_bytes} bytes instead of {shard.size_bytes}; upload it again"
        return [Problem(shard.name, None, reason)]
    try:
        return list(_compare(index, store, shard))
    except (StorageMissingError, DataError) as problem:
        return [Problem(shard.name, None, str(problem))]


def _compare(index: Index, store: Store, shard: Shard) -> Iterator[Problem]:
    """One way through the tar for its headers, its images and its checksum."""
    window = Window(store, shard.name, shard.size_bytes, whole=True)
    damaged: list[Problem] = []
    table = load_table(store, shard)
    known = {member.key: member.image_crc32 for member in table}

    def look(key: str, file: File) -> None:
        data = window.read(file.start, file.start + file.size_bytes)
        what = f"image {key!r} in {shard.name}"
        try:
            decode_sized(data, (index.width, index.height), what)
        except DataError as problem:
            damaged.append(Problem(shard.name, key, str(problem)))
            return
        if known.get(key) not in (None, zlib.crc32(data)):
            damaged.append(Problem(shard.name, key, f"{what} is another one than was indexed"))

    try:
        members = scan(window.read, shard.size_bytes, shard.name, look)
    except DataError as problem:
        yield Problem(shard.name, None, str(problem))
    else:
        if members != layout(table) or len(members) != shard.samples:
            reason = "its samples do not lie where its table says; run `data index` again"
            yield Problem(shard.name, None, reason)
    yield from damaged
    if not damaged and shard.sha256 is not None and window.sha256() != shard.sha256:
        reason = (
            "its bytes are not those that were indexed, although every image can be decoded; if"
            " that is meant, run `data index data.checksums=true`"
        )
        yield Problem(shard.name, None, reason)
