"""One shard of an index: a tar, and the table that says where its samples lie."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from datasets.shards.splits import Split
from datasets.shards.tables import Member, SampleTable, dump_table
from ganinv.errors import DataError, StorageMissingError
from ganinv.seams.stores import Store

INDEX_NAME = "index.json"
# Exists during a build, and so marks the tars of an interrupted build as unfinished.
BUILDING_NAME = "index.building.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One tar, or the samples of one split in it, and their table."""

    name: str
    """Name of the tar, below the root of the store."""
    size_bytes: int
    """Size of the tar."""
    sha256: str | None
    """Of the tar; None if only its headers were read, see `datasets.building.index_existing`."""
    samples: int
    """Number of samples."""
    table_sha256: str
    """Of the table."""
    split: Split | None = None
    """The samples of the tar that this shard consists of, if it shares the tar with the other
    split; None: all of them."""
    whole: "Shard | None" = None
    """All samples of the tar, if this shard shares it with the other split."""

    @property
    def table_name(self) -> str:
        part = f"-{self.split}" if self.split else ""
        return f"{self.name.removesuffix('.tar')}.index{part}.safetensors"


def write_table(
    store: Store, name: str, size_bytes: int, sha256: str | None, members: Sequence[Member]
) -> Shard:
    """Write the table of samples of the tar `name`, and return the shard."""
    table = dump_table(members)
    shard = Shard(
        name=name,
        size_bytes=size_bytes,
        sha256=sha256,
        samples=len(members),
        table_sha256=sha256_hex(table),
    )
    store.write(shard.table_name, table)
    return shard


def write_part(store: Store, whole: Shard, split: Split, members: Sequence[Member]) -> Shard:
    """Write the table of the samples of a tar that belong to one split, and return the shard."""
    table = dump_table(members)
    shard = replace(
        whole,
        samples=len(members),
        table_sha256=sha256_hex(table),
        split=split,
        whole=whole,
    )
    store.write(shard.table_name, table)
    return shard


def load_table(store: Store, shard: Shard) -> SampleTable:
    """The table of samples of a shard. Raises `DataError` if it is missing or was changed."""
    try:
        table = store.read(shard.table_name)
    except StorageMissingError as problem:
        raise DataError(
            f"{shard.table_name} is missing below {store.url}; run `data index` again"
        ) from problem
    if sha256_hex(table) != shard.table_sha256:
        raise DataError(
            f"{shard.table_name} below {store.url} has other bytes than {INDEX_NAME} says; run"
            " `data index` again"
        )
    try:
        return SampleTable(table)
    except DataError as problem:
        raise DataError(
            f"{shard.table_name} below {store.url}: {problem}; run `data index` again"
        ) from problem


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
