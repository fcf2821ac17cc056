"""The state of a build: which shards are finished, what fills the next one, what came twice."""

import re

from datasets.building.encode import Encoded
from datasets.building.progress import Building, Record
from datasets.building.report import BuildReport, Duplicate
from datasets.shards.shard import Shard, sha256_hex, write_table
from datasets.shards.splits import SPLITS, Split
from datasets.shards.tars import TarBuilder, scan_tar
from datasets.sources.base import BuildOptions, Skipped, Source
from datasets.sources.unreadable import Unreadable
from ganinv.seams.stores import Store

# A small data set is cut into about this many shards, since it is shards that an epoch permutes.
_MIN_SHARDS = 32
_MIN_SHARD_SAMPLES = 64


class ShardMaker:
    """Takes what was encoded, in order, and cuts it into shards.

    Holds one shard in memory, and about 200 bytes per image to know duplicates by.
    """

    def __init__(
        self, store: Store, building: Building, source: Source, options: BuildOptions
    ) -> None:
        self._building = building
        self.done = 0
        """Samples of the source taken so far."""
        self._store = store
        self._options = options
        self._max_samples = max(_MIN_SHARD_SAMPLES, -(-source.count // _MIN_SHARDS))
        self._shards: dict[Split, list[Shard]] = {split: [] for split in SPLITS}
        self._first_keys: dict[str, str] = {}
        self._duplicates: list[Duplicate] = []
        self._unreadable = Unreadable(
            total=source.count, max_ratio=options.max_unreadable, option="data.max_unreadable"
        )
        self._closed_bytes = 0
        self._split: Split = SPLITS[0]
        self._last_key = ""
        self._begin_shard()
        for record in building.finished:
            self._replay(record)

    @property
    def written_bytes(self) -> int:
        """Bytes of shards made so far, the one in memory included."""
        return self._closed_bytes + self._tar.size_bytes

    @property
    def report(self) -> BuildReport:
        return BuildReport(
            skipped=self._unreadable.skipped,
            duplicates=self._duplicates,
            dropped=self._options.drop_duplicates,
        )

    def take(self, item: Encoded | Skipped) -> None:
        """The next sample of the source, or why there is none."""
        if isinstance(item, Skipped):
            self._new_skipped.append(item)
            self._unreadable.add(item)
            self.done += 1
            return
        if item.split != self._split:
            self._close()
            assert SPLITS.index(item.split) > SPLITS.index(self._split), item.key
            self._split, self._last_key = item.split, ""
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", item.key), item.key
        assert self._last_key < item.key, f"{item.key!r} does not come after {self._last_key!r}"
        self._last_key = item.key
        self._new_seen.append((item.key, item.digest))
        kept = self._is_new(item.key, item.digest) or not self._options.drop_duplicates
        self.done += 1
        if kept:
            self._tar.add(item.key, item.png, item.attributes)
            full = self._tar.size_bytes >= self._options.shard_bytes
            if full or self._tar.samples >= self._max_samples:
                self._close()

    def finish(self) -> dict[Split, tuple[Shard, ...]]:
        """The last shard, and then all of them. Raises `DataError` if not an image was readable."""
        self._close()
        if not self._first_keys:
            raise self._unreadable.error()
        return {split: tuple(shards) for split, shards in self._shards.items()}

    def _begin_shard(self) -> None:
        self._tar = TarBuilder()
        self._new_seen: list[tuple[str, str]] = []
        self._new_skipped: list[Skipped] = []

    def _close(self) -> None:
        """Write the shard in memory, if there is one."""
        if not self._tar.samples:
            return
        name = f"{self._split}/{len(self._shards[self._split]):05d}.tar"
        tar = self._tar.finish()
        self._store.write(name, tar)
        # Scanning what was made, instead of keeping books, proves that it can be read.
        members = scan_tar(tar, name)
        shard = write_table(self._store, name, len(tar), sha256_hex(tar), members)
        record = Record(
            split=self._split,
            shard=shard,
            end=self.done,
            seen=self._new_seen,
            skipped=self._new_skipped,
        )
        self._building.commit(record)
        self._count_shard(record)
        self._begin_shard()

    def _count_shard(self, record: Record) -> None:
        self._shards[record.split].append(record.shard)
        self._closed_bytes += record.shard.size_bytes

    def _replay(self, record: Record) -> None:
        """As if its samples had been taken now."""
        for key, digest in record.seen:
            self._is_new(key, digest)
        for skipped in record.skipped:
            self._unreadable.add(skipped)
        self._count_shard(record)
        self.done, self._split = record.end, record.split
        self._last_key = record.seen[-1][0]

    def _is_new(self, key: str, digest: str) -> bool:
        first = self._first_keys.setdefault(digest, key)
        if first != key:
            self._duplicates.append(Duplicate(key, first))
        return first == key
