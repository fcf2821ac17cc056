"""The journal of a build, kept beside its shards so that an interrupted build can resume.

`index.building.json` says what is being built. After a shard and its table,
`building/NNNNN.json` is written: the shard, the sample of the source where it ends, the contents of
the input up to there, and which samples were taken or skipped. A shard without an entry in the
journal is unfinished, and is written again.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from datasets.building.inputs import Piece
from datasets.parallel import IO_THREADS, map_threads
from datasets.shards.shard import BUILDING_NAME, Shard
from datasets.shards.splits import SPLITS, Split
from datasets.sources.base import Skipped
from ganinv.errors import DataError
from ganinv.seams.stores import Store

_FOLDER = "building/"
_ENTRY = re.compile(rf"{_FOLDER}\d{{5,}}\.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedShard:
    """An entry of the journal: a shard, and the samples of the source since the shard before."""

    split: Split
    shard: Shard
    piece: Piece
    """The samples of the source up to the end of the shard, and their contents."""
    seen: Sequence[tuple[str, str]]
    """Key and digest of each sample, including those dropped as duplicates."""
    skipped: Sequence[Skipped]


class BuildJournal:
    """The finished shards of a build. `finished`: those found when it was opened, in order."""

    def __init__(self, store: Store, identity: Mapping[str, Any]) -> None:
        """Reads the journal of a build of the same identity, and changes nothing."""
        self._store = store
        self._identity = dict(identity)
        self._written = 0
        self.finished: list[FinishedShard] = []
        self.stamp: str | None = None
        """The stamp of the input of the finished shards."""
        sizes = {entry.name: entry.size_bytes for entry in store.list()}
        self.replaces_another = BUILDING_NAME in sizes
        """Whether `begin` deletes the journal of another build."""
        marker = _marker(store.read(BUILDING_NAME)) if BUILDING_NAME in sizes else {}
        if marker.get("build") == json.loads(json.dumps(self._identity)):
            self.finished = self._read(sizes)
            self.stamp = marker["stamp"]
            self.replaces_another = False

    def begin(self, stamp: str | None, keep: int) -> None:
        """Go on after `keep` finished shards, of an input with this stamp; delete all others."""
        self.finished = self.finished[:keep]
        self._written = keep
        if not keep:
            delete_journal(self._store)
        kept = set(map(_entry_name, range(keep)))
        self._store.delete([n for n in _entries(self._store) if n not in kept])
        marker = json.dumps({"build": self._identity, "stamp": stamp}, sort_keys=True)
        self._store.write(BUILDING_NAME, marker.encode())

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
    """Whether an object belongs to the journal of a build. A folder of photographs may have the
    name of the journal's folder, too.
    """
    return name == BUILDING_NAME or _ENTRY.fullmatch(name) is not None


def delete_journal(store: Store) -> None:
    """Delete the marker first, then the entries: entries without a marker are ignored."""
    store.delete([BUILDING_NAME])
    store.delete(_entries(store))


def _entries(store: Store) -> list[str]:
    return [entry.name for entry in store.list(_FOLDER) if _ENTRY.fullmatch(entry.name)]


def _marker(data: bytes) -> dict[str, Any]:
    """What is being built; {} if that cannot be read, so that the build starts over."""
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "stamp" in found else {}


def _entry_name(number: int) -> str:
    return f"{_FOLDER}{number:05d}.json"


def _parse(data: bytes) -> FinishedShard:
    try:
        content = json.loads(data)
        finished = FinishedShard(
            split=content["split"],
            shard=Shard(**content["shard"]),
            piece=Piece(*content["piece"]),
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
