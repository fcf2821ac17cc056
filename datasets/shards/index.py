"""The index of a data set: its shards, and for each shard a table of its samples.

`index.json` lies at the root of the store and is written last. It holds one row of about 200 bytes
per shard. `NAME.index.safetensors` beside `NAME.tar` holds the key, the byte ranges and the CRC-32
of every sample (`datasets.shards.tables`). The tars themselves stay plain WebDataset.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from datasets.shards.location import describe, foreign_index, is_our_index
from datasets.shards.shard import INDEX_NAME, Shard, sha256_hex
from datasets.shards.splits import SPLITS, Split
from ganinv.errors import ConfigError, DataError, StorageMissingError
from ganinv.kinds.kind import RGB8, Kind
from ganinv.seams.stores import Store
from ganinv.sizes import Resolution, Size

_VERSION = 3
_COLUMNS = ("name", "size_bytes", "sha256", "samples", "table_sha256")
# Programs that read only version 3 would train on the reserved samples.
_RESERVING_VERSION = 4
# Programs that read only these would decode all images as RGB of 8 bits.
_KIND_VERSION = 5
_VERSIONS = (_VERSION, _RESERVING_VERSION, _KIND_VERSION)
_OF_THE_TAR = ("tar_samples", "tar_table_sha256")  # only of tars that two splits share


@dataclass(frozen=True, kw_only=True)
class Index:
    """The shards of a data set by split, and the size of its images."""

    description: Mapping[str, Any]
    """What the data set was made from, see `datasets.sources.base.Source.description`."""
    width: int
    """Width of every image, in pixels."""
    height: int
    """Height of every image, in pixels."""
    splits: Mapping[Split, tuple[Shard, ...]]
    """Shards by split, in the order of their names. A tar may occur in both."""
    test_images: int | float = 0
    """How many samples of training tars, or which share of them, were reserved for tests."""
    kind: Kind = RGB8
    """What all images are decoded to."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all other contents of the index.

        Equal fingerprints mean equal bytes if the shards have checksums; if they have none, equal
        names, sizes and byte ranges of all samples.
        """
        return sha256_hex(_compact(self._content()))

    @property
    def size(self) -> Size:
        """Width and height of every image."""
        return Size(width=self.width, height=self.height)

    @property
    def resolution(self) -> Resolution:
        """The size, as options and records hold it."""
        return self.size.resolution

    @property
    def image_channels(self) -> int:
        """Channels of every image."""
        return self.kind.channels

    def samples(self, split: Split) -> int:
        return sum(shard.samples for shard in self.splits[split])

    @property
    def images(self) -> int:
        """The number of samples in all splits."""
        return sum(self.samples(split) for split in SPLITS)

    @property
    def shards(self) -> list[Shard]:
        """The shards of all splits."""
        return [shard for split in SPLITS for shard in self.splits[split]]

    @property
    def tars(self) -> list[Shard]:
        """All tars, each with all of its samples."""
        return list(dict.fromkeys(shard.whole or shard for shard in self.shards))

    def save(self, store: Store) -> None:
        store.write(INDEX_NAME, _compact({**self._content(), "fingerprint": self.fingerprint}))

    @classmethod
    def load(cls, store: Store) -> "Index":
        """Raises `DataError` if the index is missing, corrupt or of another format version."""
        where = f"{store.url.rstrip('/')}/{INDEX_NAME}"
        try:
            data = store.read(INDEX_NAME)
        except StorageMissingError as problem:
            raise _missing(store) from problem
        if not is_our_index(data):
            raise foreign_index(store)
        try:
            content = json.loads(data)
        except ValueError as problem:
            raise DataError(f"{where} is corrupt ({problem}); run `data index` again") from problem
        version = content.get("version") if isinstance(content, dict) else None
        if version not in _VERSIONS:
            raise DataError(
                f"{where} has format version {version!r}, but this program reads"
                f" {_VERSION} to {_VERSIONS[-1]}; run `data index` again"
            )
        try:
            index = cls(
                description=content["description"],
                width=content["width"],
                height=content["height"],
                splits={
                    split: tuple(_shard(row, split) for row in content["splits"][split])
                    for split in SPLITS
                },
                test_images=content.get("test_images", 0),
                kind=Kind.of(content),
            )
        except (KeyError, TypeError, ValueError, ConfigError) as problem:
            raise DataError(f"{where} is corrupt ({problem}); run `data index` again") from problem
        if index.fingerprint != content.get("fingerprint"):
            raise DataError(
                f"{where} is corrupt (its fingerprint does not match); run `data index` again"
            )
        return index

    def _content(self) -> dict[str, Any]:
        reserving: dict[str, Any] = {}
        if self.test_images:
            reserving = {"version": _RESERVING_VERSION, "test_images": self.test_images}
            reserving["columns"] = (*_COLUMNS, *_OF_THE_TAR)
        content = {
            "version": _VERSION,
            "description": dict(self.description),
            "width": self.width,
            "height": self.height,
            "channels": self.image_channels,
            # Rows instead of objects keep the file small: a data set may have 100,000 shards.
            "columns": _COLUMNS,
            "splits": {s: [_row(shard) for shard in self.splits[s]] for s in SPLITS},
        }
        kind = self.kind.facts()
        if kind:
            kind["version"] = _KIND_VERSION
        return content | reserving | kind


def _missing(store: Store) -> DataError:
    names = [entry.name for entry in store.list()]
    if names:
        return DataError(
            f"data.url={store.url} holds no data set ({INDEX_NAME} is missing); it"
            f" {describe(store.url, names)}"
        )
    return DataError(
        f"data.url={store.url} holds no data set ({INDEX_NAME} is missing, and nothing else is"
        " there); make one with `data build`, or check the URL"
    )


def _compact(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, sort_keys=True, separators=(",", ":")) + "\n").encode()


def _row(shard: Shard) -> tuple[str | int | None, ...]:
    row = (shard.name, shard.size_bytes, shard.sha256, shard.samples, shard.table_sha256)
    return row if shard.whole is None else (*row, shard.whole.samples, shard.whole.table_sha256)


def _shard(row: Sequence[Any], split: Split) -> Shard:
    name, size_bytes, sha256, samples, table_sha256, *of_the_tar = row
    shard = Shard(
        name=name, size_bytes=size_bytes, sha256=sha256, samples=samples, table_sha256=table_sha256
    )
    if not of_the_tar:
        return shard
    tar_samples, tar_table_sha256 = of_the_tar
    whole = replace(shard, samples=tar_samples, table_sha256=tar_table_sha256)
    return replace(shard, split=split, whole=whole)


def content_key(index: Index, store: Store) -> str:
    """Equal keys mean equal bytes of all shards, also of those that have no checksums.

    For these, the listing of the store tells (`Entry.version`), so a copied data set has another
    key.
    """
    unknown = {shard.name for shard in index.shards if shard.sha256 is None}
    if not unknown:
        return index.fingerprint
    versions = [(e.name, e.version) for e in store.list() if e.name in unknown]
    return sha256_hex(json.dumps([index.fingerprint, versions]).encode())


def check_sizes(index: Index, store: Store) -> None:
    """Compare the listing of the store with the index: a cheap check that finds truncated uploads.

    Raises `DataError` that names the missing, empty and truncated shards, or says that the training
    split is empty.
    """
    if not index.samples("train"):
        raise DataError(f"data.url={store.url} has no training samples; build it again")
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
            f"data.url={store.url} is incomplete: {'; '.join(problems[:10])}{more}; upload these"
            " again, or repeat `data build` (images) or `data index` (tars)"
        )
