"""The state of a build: the finished shards, the shard in memory, and the duplicates."""

import re

from datasets.building.encode import NewSample
from datasets.building.inputs import NOTHING, Piece, link
from datasets.building.journal import BuildJournal, FinishedShard
from datasets.building.report import BuildReport, Duplicate
from datasets.shards.scan import scan_tar
from datasets.shards.shard import Shard, sha256_hex, write_table
from datasets.shards.splits import SPLITS, Split
from datasets.shards.tars import TarBuilder
from datasets.sources.base import BuildOptions, Skipped, Source
from datasets.sources.unreadable import Unreadable
from ganinv.seams.stores import Store

# A small data set is cut into about this many shards, because an epoch permutes shards.
_MIN_SHARDS = 32
_MIN_SHARD_SAMPLES = 64


class ShardMaker:
    """Takes encoded samples in order, and writes them as shards.

    Holds one shard in memory, and about 200 bytes per image to recognise duplicates.
    """

    def __init__(
        self, store: Store, journal: BuildJournal, source: Source, options: BuildOptions
    ) -> None:
        self._journal = journal
        self.done = 0
        """Samples of the source taken so far."""
        self._chain = NOTHING
        self._pieces: list[Piece] = []
        self._store = store
        self._options = options
        self._max_samples = max(_MIN_SHARD_SAMPLES, -(-source.count // _MIN_SHARDS))
        self._shards: dict[Split, list[Shard]] = {split: [] for split in SPLITS}
        self._first_keys: dict[str, str] = {}
        self._duplicates: list[Duplicate] = []
        self._unreadable = Unreadable(
            total=source.count,
            max_ratio=options.max_unreadable,
            option="data.max_unreadable",
            before=source.left_out,
        )
        self._closed_bytes = 0
        self._split: Split = SPLITS[0]
        self._last_key = ""
        self._begin_shard()
        for finished in journal.finished:
            self._replay(finished)

    @property
    def written_bytes(self) -> int:
        """Bytes of all shards so far, including the shard in memory."""
        return self._closed_bytes + self._tar.size_bytes

    @property
    def pieces(self) -> list[Piece]:
        """The contents of all samples so far, shard by shard."""
        rest = [] if self._pieces and self._pieces[-1].end == self.done else [self._piece()]
        return [*self._pieces, *rest]

    @property
    def report(self) -> BuildReport:
        left_out = self._unreadable.left_out
        if self._options.drop_duplicates:
            for duplicate in self._duplicates:
                left_out.note("images with the pixels of an earlier image", duplicate.key)
        return BuildReport(
            skipped=self._unreadable.skipped,
            left_out=left_out,
            duplicates=self._duplicates,
            dropped=self._options.drop_duplicates,
        )

    def take(self, item: NewSample | Skipped) -> None:
        """Add the next sample of the source, or note why it was skipped."""
        if isinstance(item, Skipped):
            self._new_skipped.append(item)
            self._unreadable.add(item)
            self._advance(item.content)
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
        self._advance(item.content)
        if kept:
            self._tar.add(item.key, item.png, item.attributes)
            full = self._tar.size_bytes >= self._options.shard_bytes
            if full or self._tar.samples >= self._max_samples:
                self._close()

    def finish(self) -> dict[Split, tuple[Shard, ...]]:
        """Write the last shard; returns all shards. Raises `DataError` if no image was readable."""
        self._close()
        if not self._first_keys:
            raise self._unreadable.error()
        return {split: tuple(shards) for split, shards in self._shards.items()}

    def _advance(self, content: str) -> None:
        self.done += 1
        self._chain = link(self._chain, content)

    def _piece(self) -> Piece:
        return Piece(self.done, self._chain)

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
        # Scanning the tar, instead of noting offsets while writing, proves that it can be read.
        members = scan_tar(tar, name)
        shard = write_table(self._store, name, len(tar), sha256_hex(tar), members)
        finished = FinishedShard(
            split=self._split,
            shard=shard,
            piece=self._piece(),
            seen=self._new_seen,
            skipped=self._new_skipped,
        )
        self._journal.commit(finished)
        self._count_shard(finished)
        self._begin_shard()

    def _count_shard(self, finished: FinishedShard) -> None:
        self._shards[finished.split].append(finished.shard)
        self._pieces.append(finished.piece)
        self._closed_bytes += finished.shard.size_bytes

    def _replay(self, finished: FinishedShard) -> None:
        """Restore the state after a shard of the journal, as if its samples were taken now."""
        for key, digest in finished.seen:
            self._is_new(key, digest)
        for skipped in finished.skipped:
            self._unreadable.add(skipped)
        self._count_shard(finished)
        (self.done, self._chain), self._split = finished.piece, finished.split
        self._last_key = finished.seen[-1][0]

    def _is_new(self, key: str, digest: str) -> bool:
        first = self._first_keys.setdefault(digest, key)
        if first != key:
            self._duplicates.append(Duplicate(key, first))
        return first == key
