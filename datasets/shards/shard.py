"""One shard of an index: a tar, and the table that says where its samples lie."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from datasets.shards.tables import Member, SampleTable, dump_table
from ganinv.errors import DataError, StorageMissingError
from ganinv.seams.stores import Store

INDEX_NAME = "index.json"
# Exists during a build, and so marks the tars of an interrupted build as unfinished.
BUILDING_NAME = "index.building.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One tar and its table of samples."""

    name: str
    """Name of the tar, below the root of the store."""
    size_bytes: int
    """Size of the tar."""
    sha256: str | None
    """Of the tar; None if only its headers were read, see `datasets.building.index_existing`."""
    samples: int
    """Number of samples in the tar."""
    table_sha256: str
    """Of the table."""

    @property
    def table_name(self) -> str:
        return self.name.removesuffix(".tar") + ".index.safetensors"


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
