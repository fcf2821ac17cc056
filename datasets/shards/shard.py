"""One shard of an index: a tar, and the table of where its samples lie."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from datasets.shards.tables import Member, Table, dump_table
from ganinv.errors import DataError, StorageMissingError
from ganinv.seams.stores import Store

INDEX_NAME = "index.json"
# There while a build is under way, so that the tars of an interrupted one are known as such.
BUILDING_NAME = "index.building.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One tar and its member table."""

    name: str
    """Below the root of the store."""
    size_bytes: int
    sha256: str | None
    """None where only the headers were read, see `datasets.building.index_existing`."""
    samples: int
    table_sha256: str

    @property
    def table_name(self) -> str:
        return self.name.removesuffix(".tar") + ".index.safetensors"


def write_table(
    store: Store, name: str, size_bytes: int, sha256: str | None, members: Sequence[Member]
) -> Shard:
    """Write the member table of the tar `name`, and describe that shard."""
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


def load_table(store: Store, shard: Shard) -> Table:
    """Where the samples of a shard lie. Raises `DataError` if that is not what was indexed."""
    try:
        table = store.read(shard.table_name)
    except StorageMissingError as problem:
        raise DataError(
            f"{shard.table_name} is missing below {store.url}; run `data index` again"
        ) from problem
    if sha256_hex(table) != shard.table_sha256:
        raise DataError(
            f"{shard.table_name} below {store.url} is not what {INDEX_NAME} was made with; run"
            " `data index` again"
        )
    try:
        return Table(table)
    except DataError as problem:
        raise DataError(
            f"{shard.table_name} below {store.url}: {problem}; run `data index` again"
        ) from problem


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
