"""The index of a data set: what its shards are, and beside each tar where every sample lies.

`index.json` lies at the root of the store and is written last. Beside `NAME.tar` lies
`NAME.index.jsonl`, one array [key, extension, image start, image bytes, json start, json bytes]
a line. The tars themselves stay plain WebDataset.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from datasets.images import image_size
from datasets.shards import BUILDING_NAME, INDEX_NAME, Shard, sha256_hex, write_table
from datasets.source import SPLITS, Progress, Split, named_split, no_progress
from datasets.tars import Member, scan_tar
from ganinv.errors import DataError, StorageMissingError
from ganinv.seams import Store

_VERSION = 1
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True, kw_only=True)
class Index:
    """The shards of a data set by split, and the size of its images."""

    description: Mapping[str, Any]
    """Of the source, see `datasets.source.Source.describe`."""
    resolution: int
    """Height and width of every image, in pixels."""
    splits: Mapping[Split, tuple[Shard, ...]]
    """Shards by split, in the order of their names."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything else: equal fingerprints mean equal bytes."""
        return sha256_hex(
            json.dumps(self._content(), sort_keys=True, separators=(",", ":")).encode()
        )

    def samples(self, split: Split) -> int:
        return sum(shard.samples for shard in self.splits[split])

    @property
    def image_channels(self) -> int:
        """Of every image: they are decoded to RGB."""
        return 3

    @property
    def shards(self) -> list[Shard]:
        """Those of all splits."""
        return [shard for split in SPLITS for shard in self.splits[split]]

    def save(self, store: Store) -> None:
        content = {**self._content(), "fingerprint": self.fingerprint}
        store.write(INDEX_NAME, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())

    @classmethod
    def load(cls, store: Store) -> "Index":
        """Raises `DataError` if the index is missing, damaged or of another version."""
        where = f"{store.url.rstrip('/')}/{INDEX_NAME}"
        try:
            content = json.loads(store.read(INDEX_NAME))
        except StorageMissingError as problem:
            raise DataError(
                f"data.url={store.url} holds no data set ({INDEX_NAME} is missing); make one with"
                " `data build`, or index the tars there with `data index`"
            ) from problem
        except ValueError as problem:
            raise DataError(f"{where} is damaged ({problem}); run `data index` again") from problem
        version = content.get("version") if isinstance(content, dict) else None
        if version != _VERSION:
            raise DataError(
                f"{where} has format version {version!r}, this program reads {_VERSION}; run"
                " `data index` again"
            )
        try:
            index = cls(
                description=content["description"],
                resolution=content["resolution"],
                splits={s: tuple(Shard(**shard) for shard in content["splits"][s]) for s in SPLITS},
            )
        except (KeyError, TypeError) as problem:
            raise DataError(f"{where} is damaged ({problem}); run `data index` again") from problem
        if index.fingerprint != content.get("fingerprint"):
            raise DataError(
                f"{where} is damaged (its fingerprint does not fit); run `data index` again"
            )
        return index

    def _content(self) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "description": dict(self.description),
            "resolution": self.resolution,
            "channels": self.image_channels,
            "splits": {s: [asdict(shard) for shard in self.splits[s]] for s in SPLITS},
        }


def index_existing(store: Store, on_progress: Progress = no_progress) -> Index:
    """Index the tars that lie in the store, whatever their names, without rewriting them.

    Folders named train, test or val decide the split, otherwise a shard is for training. An
    index that fits already is returned as it is. Holds one tar at a time in memory. Raises
    `DataError` for no tars, compressed or damaged ones, those of an unfinished build, and images
    that are not squares of one size. `on_progress` counts shards in the place of images.
    """
    entries = store.list()
    compressed = [entry.name for entry in entries if entry.name.endswith(_COMPRESSED)]
    names = [entry.name for entry in entries if entry.name.endswith(".tar")]
    if compressed or not names:
        found = f"compressed tars ({', '.join(compressed[:5])})" if compressed else "no tars"
        raise DataError(
            f"data.url={store.url} holds {found}; put plain .tar files there (ranged reads need"
            " uncompressed ones)"
        )
    stored_names = {entry.name for entry in entries}
    if BUILDING_NAME in stored_names and INDEX_NAME not in stored_names:
        raise DataError(
            f"data.url={store.url} holds a `data build` that was interrupted or still runs; finish"
            " it by the same command, which starts over"
        )
    splits: dict[Split, list[Shard]] = {split: [] for split in SPLITS}
    resolution = None
    read_bytes = 0
    for done, name in enumerate(names, start=1):
        tar = store.read(name)
        members = scan_tar(tar, name)
        resolution = _common_size(tar, name, members, resolution)
        split = named_split(name.split("/")[:-1]) or "train"
        splits[split].append(write_table(store, name, tar, members))
        read_bytes += len(tar)
        on_progress(done, len(names), read_bytes)
    assert resolution is not None
    index = Index(
        description={"source": "tars", "resolution": resolution},
        resolution=resolution,
        splits={split: tuple(shards) for split, shards in splits.items()},
    )
    try:
        stored = Index.load(store)
    except DataError:
        stored = None  # missing or damaged, which is what indexing mends
    if stored is not None and stored.splits == index.splits:
        return stored  # it may know more of where the shards come from
    index.save(store)
    return index


def _common_size(tar: bytes, name: str, members: Sequence[Member], known: int | None) -> int:
    """The side of all images in pixels, `known` if that is given."""
    for member in members:
        data = tar[member.image_start : member.image_start + member.image_bytes]
        width, height = image_size(data, f"{member.key!r} in {name}")
        known = known or width
        if width != known or height != known:
            raise DataError(
                f"image {member.key!r} in {name} has {width} × {height} pixels, the ones before"
                f" {known} × {known}; all must be squares of one size: make such shards with"
                " `data build FOLDER`"
            )
    assert known is not None
    return known


def check_sizes(index: Index, store: Store) -> None:
    """Compare the listing of the store with the index: cheap, and finds truncated uploads.

    Raises `DataError` that names the missing, empty and truncated shards, or says that there is
    no sample to train with.
    """
    if not index.samples("train"):
        raise DataError(f"data.url={store.url} has no training samples; build it anew")
    sizes = {entry.name: entry.size_bytes for entry in store.list()}
    problems = []
    for shard in index.shards:
        size = sizes.get(shard.name)
        if size is None:
            problems.append(f"{shard.name} is missing")
        elif size != shard.size_bytes:
            problems.append(f"{shard.name} has {size} bytes instead of {shard.size_bytes}")
        if shard.table_name not in sizes:
            problems.append(f"{shard.table_name} is missing")
    if problems:
        more = f" and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise DataError(
            f"data.url={store.url} is not whole: {'; '.join(problems[:10])}{more}; upload these"
            " again, or run `data build` (images) or `data index` (tars) anew"
        )
