"""Indexing existing WebDataset tars, without rewriting them."""

import collections
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Protocol

from datasets.building.report import BuildReport
from datasets.building.reserve import reserve
from datasets.inputs.left_members import count_left_out
from datasets.inputs.left_out import IMAGES, LeftOut
from datasets.parallel import IO_THREADS, Progress, map_threads, no_progress
from datasets.shards.attributes import check_attributes
from datasets.shards.images import image_size
from datasets.shards.index import Index
from datasets.shards.location import foreign_index, is_our_index
from datasets.shards.scan import LeftMember, scan
from datasets.shards.sequential_reader import SequentialReader
from datasets.shards.shard import INDEX_NAME, Shard, load_table, write_table
from datasets.shards.splits import SPLITS, Split, splits_by_name
from datasets.shards.tables import Member, layout
from datasets.shards.tar_headers import File
from datasets.shards.tars import list_tars
from ganinv.errors import DataError, StorageMissingError
from ganinv.kinds.kind import RGB8, Kind
from ganinv.seams.stores import Entry, Store

# The first bytes of nearly every image contain its size; other images are read whole.
_PROBE_BYTES = 16 * 2**10

_OTHER_SIZE = "images of another size than those before (`data build webdataset` resizes them)"

Size = tuple[int, int]  # width and height in pixels


class _Indexed(NamedTuple):
    """One indexed tar; its table has been written."""

    tar: str
    shard: Shard | None
    """None if it holds no sample."""
    size: Size | None
    """That of its images."""
    left_out: Sequence[LeftMember]
    read_bytes: int


class _IndexOne(Protocol):
    """Indexes a tar; `size`: that of the images, or None for the most frequent size in the tar."""

    def __call__(self, entry: Entry, size: Size | None) -> _Indexed: ...


def index_existing(
    store: Store,
    on_progress: Progress = no_progress,
    *,
    checksums: bool = False,
    split_by_name: bool = True,
    test_images: int | float | None = None,
    max_unreadable: float = 0.01,
    kind: Kind | None = None,
) -> Index:
    """Index all tars in the store, whatever their names, without rewriting them.

    Names of folders and tars decide the split (`shards.splits`); if no name does, and without
    `split_by_name`, all tars are for training. Reads only headers, by ranged reads. With
    `checksums`, reads every byte and stores checksums of shards and images. Reserves `test_images`
    of the training samples for tests, see `reserve`; None: as many as before. Images are decoded to
    `kind`; None: as before, or RGB of 8 bits. An existing index
    that is still correct stays as it is. `on_progress` counts shards instead of images.

    Leaves out what cannot be used, up to the ratio `max_unreadable` (0–1) of the images, and lists
    it in `build.json`: images that `ganinv.pixels` or the decoder refuses, images of another size,
    attributes that are not a JSON object, and all that `shards.scan` leaves out.

    Raises `DataError` if that is more, or if there are no tars, or compressed or corrupt tars, or
    tars of an unfinished build, or an `index.json` of another program; `ConfigError` if some names
    decide the split and others do not.
    """
    tars = list_tars(store, f"data.url={store.url}")
    stored, report = _stored(store), BuildReport.load(store)
    known = {shard.name: shard for shard in stored.tars} if stored else {}
    splits: dict[Split, list[Shard]] = {"train": [], "test": []}
    size = None
    read_bytes = 0
    left_out = LeftOut()
    kind = kind or (stored.kind if stored else RGB8)
    index_one = partial(_index_one, store, known, checksums, kind)
    names = [tar.name for tar in tars]
    named = splits_by_name(names, f"data.url={store.url}", files=True) if split_by_name else None
    all_train: list[Split] = ["train"] * len(names)
    split_of_tar = dict(zip(names, named or all_train, strict=True))
    on_progress(0, len(tars), 0)
    for done, found in enumerate(_index_all(index_one, tars), start=1):
        size = size or found.size
        if found.shard is not None:
            splits[split_of_tar[found.tar]].append(found.shard)
        count_left_out(found.left_out, left_out)
        read_bytes += found.read_bytes
        on_progress(done, len(tars), read_bytes)
    images = sum(shard.samples for shards in splits.values() for shard in shards)
    left_out.totals[IMAGES] = images + left_out.count(IMAGES)
    left_out.check(max_unreadable, "data.max_unreadable")
    if size is None:
        found_instead = left_out.line(names=True)
        raise DataError(f"data.url={store.url} holds no images, only {found_instead}")
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
        kind=kind,
    )
    if stored is not None and stored.fingerprint == index.fingerprint:
        return stored
    replace(report, left_out=left_out).save(store)
    index.save(store)
    return index


def _index_all(index_one: _IndexOne, tars: Sequence[Entry]) -> Iterator[_Indexed]:
    """Index the tars, in order; the first tar with images decides the size of all images."""
    rest = iter(tars)
    size = None
    while size is None and (entry := next(rest, None)) is not None:
        found = index_one(entry, size=None)
        size = found.size
        yield found
    yield from map_threads(partial(index_one, size=size), rest, IO_THREADS)


def _index_one(
    store: Store,
    stored: Mapping[str, Shard],
    checksums: bool,
    kind: Kind,
    entry: Entry,
    size: Size | None,
) -> _Indexed:
    reader = SequentialReader(store, entry.name, entry.size_bytes, whole=checksums)
    sizes: dict[str, Size] = {}

    def read(file: File) -> bytes:
        return reader.read(file.start, file.start + file.size_bytes)

    def on_image(key: str, file: File) -> int | None:
        sizes[key] = _probe(reader, file, kind)
        return zlib.crc32(read(file)) if checksums else None

    def on_attributes(key: str, file: File) -> None:
        del key
        check_attributes(read(file))

    found = scan(reader.read, entry.size_bytes, entry.name, on_image, on_attributes)
    frequent = collections.Counter(sizes[member.key] for member in found.members).most_common(1)
    size = size or (frequent[0][0] if frequent else None)
    members = [member for member in found.members if sizes[member.key] == size]
    left_out = [*found.left_out, *_other_sizes(found.members, sizes, size, entry.name)]
    if not members:
        return _Indexed(entry.name, None, None, left_out, reader.read_bytes)
    shard = stored.get(entry.name)
    if checksums or shard is None or not _same_layout(store, shard, entry, members):
        sha256 = reader.sha256() if checksums else None
        shard = write_table(store, entry.name, entry.size_bytes, sha256, members)
    return _Indexed(entry.name, shard, size, left_out, reader.read_bytes)


def _other_sizes(
    members: Sequence[Member], sizes: Mapping[str, Size], expected: Size | None, tar: str
) -> Iterator[LeftMember]:
    for key, (width, height) in ((member.key, sizes[member.key]) for member in members):
        if expected is not None and (width, height) != expected:
            detail = f"{width} × {height} pixels instead of {expected[0]} × {expected[1]}"
            yield LeftMember(f"{tar}: {key}: {detail}", _OTHER_SIZE)


def _probe(reader: SequentialReader, file: File, kind: Kind) -> Size:
    """Width and height of an image, from as few bytes as possible."""
    end = file.start + file.size_bytes
    probe = file.start + _PROBE_BYTES
    if probe < end:
        try:
            return image_size(reader.read(file.start, probe), kind)
        except DataError:
            pass  # either long metadata comes first, or the image is corrupt: read all of it
    return image_size(reader.read(file.start, end), kind)


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
