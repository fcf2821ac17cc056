"""The journal of a build, kept beside its shards so that an interrupted build can resume.

`index.building.json` says what is being built. After a shard and its table,
`building/NNNNN.json` is written: the shard, the sample of the source where it ends, and which
samples were taken or skipped. A shard without an entry in the journal is unfinished, and is
written again.
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
class FinishedShard:
    """An entry of the journal: a shard, and the samples of the source since the shard before."""

    split: Split
    shard: Shard
    end: int
    """Number of the first sample of the source that comes after the shard."""
    seen: Sequence[tuple[str, str]]
    """Key and digest of each sample, including those dropped as duplicates."""
    skipped: Sequence[Skipped]


class BuildJournal:
    """The finished shards of a build. `finished`: those found when it was opened, in order."""

    def __init__(self, store: Store, identity: Mapping[str, Any]) -> None:
        """Resumes the journal of a build of the same identity; deletes that of any other build."""
        self._store = store
        self._written = 0
        self.finished: list[FinishedShard] = []
        marker = json.dumps(identity, sort_keys=True).encode()
        entries = store.list()
        sizes = {entry.name: entry.size_bytes for entry in entries}
        if BUILDING_NAME in sizes and store.read(BUILDING_NAME) == marker:
            self.finished = self._read(sizes)
            self._written = len(self.finished)
        else:
            delete_journal(store)
            store.write(BUILDING_NAME, marker)

    def commit(self, finished: FinishedShard) -> None:
        """Add an entry. The shard and its table must have been written before."""
        text = json.dumps(asdict(finished), separators=(",", ":"))
        self._store.write(_entry_name(self._written), text.encode())
        self._written += 1

    def _read(self, sizes: Mapping[str, int]) -> list[FinishedShard]:
        """The entries up to the first that is missing, or whose shard is missing or incomplete."""
        count = 0
        while _entry_name(count) in sizes:
            count += 1
        names = map(_entry_name, range(count))
        found = []
        for data in map_threads(self._store.read, names, IO_THREADS):
            finished = _parse(data)
            shard = finished.shard
            if sizes.get(shard.name) != shard.size_bytes or shard.table_name not in sizes:
                break
            found.append(finished)
        return found


def is_in_journal(name: str) -> bool:
    """Whether an object belongs to the journal of a build."""
    return name == BUILDING_NAME or name.startswith(_FOLDER)


def delete_journal(store: Store) -> None:
    """Delete the marker first, then the entries: entries without a marker are ignored."""
    store.delete([BUILDING_NAME])
    store.delete([entry.name for entry in store.list(_FOLDER)])


def _entry_name(number: int) -> str:
    return f"{_FOLDER}{number:05d}.json"


def _parse(data: bytes) -> FinishedShard:
    try:
        content = json.loads(data)
        finished = FinishedShard(
            split=content["split"],
            shard=Shard(**content["shard"]),
            end=content["end"],
            seen=[(key, digest) for key, digest in content["seen"]],
            skipped=[Skipped(*skipped) for skipped in content["skipped"]],
        )
    except (ValueError, KeyError, TypeError) as problem:
        raise DataError(
            f"the journal of an interrupted build is corrupt ({problem}); delete {BUILDING_NAME}"
            " and repeat the build"
        ) from problem
    assert finished.split in SPLITS
    return finished
