"""Indexing WebDataset tars where they lie, without rewriting them."""

import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from datasets.parallel import IO_THREADS, Progress, map_threads, no_progress
from datasets.shards.images import image_size
from datasets.shards.index import Index
from datasets.shards.pass_through import Window
from datasets.shards.shard import Shard, load_table, write_table
from datasets.shards.splits import Split, named_file_split
from datasets.shards.tables import Member, layout
from datasets.shards.tar_headers import File
from datasets.shards.tars import list_tars, scan
from ganinv.errors import DataError
from ganinv.seams.stores import Entry, Store

# Nearly every image tells its size within these; others are read whole.
_PROBE_BYTES = 16 * 2**10


class _Indexed(NamedTuple):
    """One tar whose table is written."""

    shard: Shard
    size: tuple[int, int]
    """Width and height of its images, in pixels."""
    read_bytes: int


def index_existing(
    store: Store, on_progress: Progress = no_progress, *, checksums: bool = False
) -> Index:
    """Index the tars that lie in the store, whatever their names, without rewriting them.

    Folders or first words of names (train, test, val) decide the split, otherwise a shard is for
    training. Reads headers alone, by ranged reads, unless `checksums` asks for every byte: then
    shards and images have checksums. An
    index that fits already is returned as it is. Raises `DataError` for no tars, compressed or
    damaged ones, those of an unfinished build, and images that are not of one size. `on_progress`
    counts shards in the place of images.
    """
    tars = list_tars(store, f"data.url={store.url}")
    stored = _stored(store)
    known = {shard.name: shard for shard in stored.shards} if stored else {}
    splits: dict[Split, list[Shard]] = {"train": [], "test": []}
    size = None
    read_bytes = 0
    index_one = partial(_index_one, store, known, checksums)
    on_progress(0, len(tars), 0)
    for done, found in enumerate(map_threads(index_one, tars, IO_THREADS), start=1):
        size = size or found.size
        if found.size != size:
            raise _unequal(f"{found.shard.name} has images", found.size, size)
        splits[named_file_split(found.shard.name) or "train"].append(found.shard)
        read_bytes += found.read_bytes
        on_progress(done, len(tars), read_bytes)
    assert size is not None
    index = Index(
        description={"source": "tars"},
        width=size[0],
        height=size[1],
        splits={split: tuple(shards) for split, shards in splits.items()},
    )
    if stored is not None and stored.splits == index.splits:
        return stored  # it may know more of where the shards come from
    index.save(store)
    return index


def _index_one(
    store: Store, stored: Mapping[str, Shard], checksums: bool, entry: Entry
) -> _Indexed:
    window = Window(store, entry.name, entry.size_bytes, whole=checksums)
    known: tuple[int, int] | None = None

    def look(key: str, file: File) -> int | None:
        nonlocal known
        size = _probe(window, file, f"{key!r} in {entry.name}")
        known = known or size
        if size != known:
            raise _unequal(f"image {key!r} in {entry.name} has", size, known)
        if not checksums:
            return None
        return zlib.crc32(window.read(file.start, file.start + file.size_bytes))

    members = scan(window.read, entry.size_bytes, entry.name, look)
    assert known is not None
    shard = stored.get(entry.name)
    if checksums or shard is None or not _same_layout(store, shard, entry, members):
        sha256 = window.sha256() if checksums else None
        shard = write_table(store, entry.name, entry.size_bytes, sha256, members)
    return _Indexed(shard, known, window.read_bytes)


def _probe(window: Window, file: File, what: str) -> tuple[int, int]:
    """Width and height, from as few bytes as tell it."""
    end = file.start + file.size_bytes
    probe = file.start + _PROBE_BYTES
    if probe < end:
        try:
            return image_size(window.read(file.start, probe), what)
        except DataError:
            pass  # long metadata comes first, or it is damaged: the whole image says which
    return image_size(window.read(file.start, end), what)


def _unequal(which: str, size: tuple[int, int], known: tuple[int, int]) -> DataError:
    return DataError(
        f"{which} {size[0]} × {size[1]} pixels, the ones before {known[0]} × {known[1]}; all must"
        " be of one size: make such shards with `data build webdataset data.input=…`"
    )


def _same_layout(store: Store, known: Shard, entry: Entry, members: Sequence[Member]) -> bool:
    """Whether the stored table says the same; its checksums, if any, are then kept."""
    if known.size_bytes != entry.size_bytes:
        return False
    try:
        return layout(load_table(store, known)) == members
    except DataError:
        return False  # missing or damaged, which is what indexing mends


def _stored(store: Store) -> Index | None:
    try:
        return Index.load(store)
    except DataError:
        return None  # missing or damaged, which is what indexing mends
