"""What a build has finished, kept beside its shards so that an interrupted one goes on.

`index.building.json` says what is being built. After a shard and its table, `building/NNNNN.json`
is written: the shard, where in the source it ends, and what was in between. A shard without such
a record was not finished, and is written again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from datasets.parallel import IO_THREADS, map_threads
from datasets.shards.shard import BUILDING_NAME, Shard
from datasets.shards.splits import SPLITS, Split
from datasets.sources.base import Skipped
from ganinv.errors import DataError
from ganinv.seams.stores import Store

_FOLDER = "building/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A finished shard, and the samples of the source from the one before to its end."""

    split: Split
    shard: Shard
    end: int
    """Number of the source's first sample that comes after."""
    seen: Sequence[tuple[str, str]]
    """Key and digest of the samples, those dropped as duplicates included."""
    skipped: Sequence[Skipped]


class Building:
    """The records of a build. `finished`: those found when it was opened, in order."""

    def __init__(self, store: Store, identity: Mapping[str, Any]) -> None:
        """Goes on with a build of the same identity; another one's records are removed."""
        self._store = store
        self._written = 0
        self.finished: list[Record] = []
        marker = json.dumps(identity, sort_keys=True).encode()
        entries = store.list()
        sizes = {entry.name: entry.size_bytes for entry in entries}
        if BUILDING_NAME in sizes and store.read(BUILDING_NAME) == marker:
            self.finished = self._read(sizes)
            self._written = len(self.finished)
        else:
            forget_build(store)
            store.write(BUILDING_NAME, marker)

    def commit(self, record: Record) -> None:
        """After the shard and its table."""
        text = json.dumps(asdict(record), separators=(",", ":"))
        self._store.write(_record_name(self._written), text.encode())
        self._written += 1

    def _read(self, sizes: Mapping[str, int]) -> list[Record]:
        """Up to the first that is missing, or whose shard is not there as it was written."""
        count = 0
        while _record_name(count) in sizes:
            count += 1
        names = map(_record_name, range(count))
        records = []
        for data in map_threads(self._store.read, names, IO_THREADS):
            record = _parse(data)
            shard = record.shard
            if sizes.get(shard.name) != shard.size_bytes or shard.table_name not in sizes:
                break
            records.append(record)
        return records


def is_building(name: str) -> bool:
    """Whether an object belongs to a build under way."""
    return name == BUILDING_NAME or name.startswith(_FOLDER)


def forget_build(store: Store) -> None:
    """Remove marker and records, the marker first: records alone are nothing."""
    store.delete([BUILDING_NAME])
    store.delete([entry.name for entry in store.list(_FOLDER)])


def _record_name(number: int) -> str:
    return f"{_FOLDER}{number:05d}.json"


def _parse(data: bytes) -> Record:
    try:
        content = json.loads(data)
        record = Record(
            split=content["split"],
            shard=Shard(**content["shard"]),
            end=content["end"],
            seen=[(key, digest) for key, digest in content["seen"]],
            skipped=[Skipped(*skipped) for skipped in content["skipped"]],
        )
    except (ValueError, KeyError, TypeError) as problem:
        raise DataError(
            f"the record of an interrupted build is damaged ({problem}); remove {BUILDING_NAME} and"
            " build anew"
        ) from problem
    assert record.split in SPLITS
    return record
