"""Indexing existing WebDataset tars, without rewriting them."""

import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from datasets.building.reserve import reserve
from datasets.parallel import IO_THREADS, Progress, map_threads, no_progress
from datasets.shards.images import image_size
from datasets.shards.index import Index
from datasets.shards.location import foreign_index, is_our_index
from datasets.shards.sequential_reader import SequentialReader
from datasets.shards.shard import INDEX_NAME, Shard, load_table, write_table
from datasets.shards.splits import SPLITS, Split, splits_by_name
from datasets.shards.tables import Member, layout
from datasets.shards.tar_headers import File
from datasets.shards.tars import list_tars, scan
from ganinv.errors import DataError, StorageMissingError
from ganinv.seams.stores import Entry, Store

# The first bytes of nearly every image contain its size; other images are read whole.
_PROBE_BYTES = 16 * 2**10


class _Indexed(NamedTuple):
    """One indexed tar; its table has been written."""

    shard: Shard
    size: tuple[int, int]
    """Width and height of its images, in pixels."""
    read_bytes: int


def index_existing(
    store: Store,
    on_progress: Progress = no_progress,
    *,
    checksums: bool = False,
    split_by_name: bool = True,
    test_images: int | float | None = None,
) -> Index:
    """Index all tars in the store, whatever their names, without rewriting them.

    Names of folders and tars decide the split (`shards.splits`); if no name does, and without
    `split_by_name`, all tars are for training. Reads only headers, by ranged reads. With
    `checksums`, reads every byte and stores checksums of shards and images. Reserves `test_images`
    of the training samples for tests, see `reserve`; None: as many as before. An existing index
    that is still correct stays as it is. `on_progress` counts shards instead of images.

    Raises `DataError` if there are no tars, or compressed or corrupt tars, or tars of an unfinished
    build, or images of different sizes, or an `index.json` of another program; `ConfigError` if
    some names decide the split and others do not.
    """
    tars = list_tars(store, f"data.url={store.url}")
    stored = _stored(store)
    known = {shard.name: shard for shard in stored.tars} if stored else {}
    splits: dict[Split, list[Shard]] = {"train": [], "test": []}
    size = None
    read_bytes = 0
    index_one = partial(_index_one, store, known, checksums)
    names = [tar.name for tar in tars]
    named = splits_by_name(names, f"data.url={store.url}", files=True) if split_by_name else None
    all_train: list[Split] = ["train"] * len(names)
    split_of_tar = dict(zip(names, named or all_train, strict=True))
    on_progress(0, len(tars), 0)
    for done, found in enumerate(map_threads(index_one, tars, IO_THREADS), start=1):
        size = size or found.size
        if found.size != size:
            raise _size_error(f"{found.shard.name} has images of", found.size, size)
        splits[split_of_tar[found.shard.name]].append(found.shard)
        read_bytes += found.read_bytes
        on_progress(done, len(tars), read_bytes)
    assert size is not None
    if test_images is None:
        test_images = stored.test_images if stored else 0
    tars_now = [shard for split in SPLITS for shard in splits[split]]
    same_tars = stored is not None and set(stored.tars) == set(tars_now)
    index = Index(
        # A stored description may say more about where the tars come from.
        description=stored.description if stored and same_tars else {"source": "tars"},
        width=size[0],
        height=size[1],
        splits=reserve(store, splits, test_images),
        test_images=test_images,
    )
    if stored is not None and stored.fingerprint == index.fingerprint:
        return stored
    index.save(store)
    return index


def _index_one(
    store: Store, stored: Mapping[str, Shard], checksums: bool, entry: Entry
) -> _Indexed:
    reader = SequentialReader(store, entry.name, entry.size_bytes, whole=checksums)
    first_size: tuple[int, int] | None = None

    def on_image(key: str, file: File) -> int | None:
        nonlocal first_size
        size = _probe(reader, file, f"{key!r} in {entry.name}")
        first_size = first_size or size
        if size != first_size:
            raise _size_error(f"image {key!r} in {entry.name} has", size, first_size)
        if not checksums:
            return None
        return zlib.crc32(reader.read(file.start, file.start + file.size_bytes))

    members = scan(reader.read, entry.size_bytes, entry.name, on_image)
    assert first_size is not None
    shard = stored.get(entry.name)
    if checksums or shard is None or not _same_layout(store, shard, entry, members):
        sha256 = reader.sha256() if checksums else None
        shard = write_table(store, entry.name, entry.size_bytes, sha256, members)
    return _Indexed(shard, first_size, reader.read_bytes)


def _probe(reader: SequentialReader, file: File, what: str) -> tuple[int, int]:
    """Width and height of an image, from as few bytes as possible."""
    end = file.start + file.size_bytes
    probe = file.start + _PROBE_BYTES
    if probe < end:
        try:
            return image_size(reader.read(file.start, probe), what)
        except DataError:
            pass  # either long metadata comes first, or the image is corrupt: read all of it
    return image_size(reader.read(file.start, end), what)


def _size_error(what: str, size: tuple[int, int], expected: tuple[int, int]) -> DataError:
    return DataError(
        f"{what} {size[0]} × {size[1]} pixels, the images before have {expected[0]} ×"
        f" {expected[1]}; all images must have the same size: make such shards with `data build"
        " webdataset data.input=…`"
    )


def _same_layout(store: Store, shard: Shard, entry: Entry, members: Sequence[Member]) -> bool:
    """Whether the stored table is still correct. If so it is kept, with its checksums if any."""
    if shard.size_bytes != entry.size_bytes:
        return False
    try:
        return layout(load_table(store, shard)) == members
    except DataError:
        return False  # missing or corrupt: indexing replaces it


def _stored(store: Store) -> Index | None:
    try:
        data = store.read(INDEX_NAME)
    except StorageMissingError:
        return None
    if not is_our_index(data):
        raise foreign_index(store)
    try:
        return Index.load(store)
    except DataError:
        return None  # corrupt, or of an older version: indexing replaces it
