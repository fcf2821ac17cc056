"""A store with a cache of large objects on local disk, shared by the workers of a node.

The cache holds blocks of objects, one file each. A file starts with the SHA-256 of its block, so
that neither a crash nor a bad disk can corrupt data. The cache may be deleted at any time.
"""

import fcntl
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from ganinv.seams.stores import Blobs, Entries, Range, Store

log = logging.getLogger(__name__)
BLOCK_BYTES = 2**20
_DIGEST_BYTES = 32
_KEPT_RATIO = 0.9  # evictions leave at most this share of the limit
_MISSING = b""
_OURS = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{32}")  # blocks, and unfinished ones


class CachedStore:
    """Implements `seams.stores.Store`: forwards every verb to `store`, and caches ranges.

    Cached are the objects named in `sizes` (name → bytes), which must never change. `identity`
    distinguishes them from other objects of the same names in `folder`.
    """

    def __init__(
        self, store: Store, folder: Path, most_bytes: int, identity: str, sizes: Mapping[str, int]
    ) -> None:
        """`most_bytes`: limit of the folder's size, over all stores that share it."""
        self._store = store
        self._folder = folder
        self._most_bytes = most_bytes
        self._identity = identity
        self._sizes = sizes
        self._is_writable = True

    @property
    def url(self) -> str:
        return self._store.url

    def list(self, prefix: str = "") -> Entries:
        return self._store.list(prefix)

    def read(self, name: str) -> bytes:
        return self._store.read(name)

    def write(self, name: str, data: bytes | memoryview | Path) -> None:
        self._store.write(name, data)

    def write_if_absent(self, name: str, data: bytes) -> None:
        self._store.write_if_absent(name, data)

    def delete(self, names: Sequence[str]) -> None:
        self._store.delete(names)

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        blocks = {block: self._load(block) for wanted in ranges for block in self._blocks(wanted)}
        missing = [block for block, data in blocks.items() if data is _MISSING]
        uncached = [wanted for wanted in ranges if wanted.name not in self._sizes]
        runs = _runs(missing)
        found = self._store.read_ranges([*runs, *uncached])
        for run, data in zip(runs, found, strict=False):  # after the runs: uncached
            for start in range(run.start, run.end, BLOCK_BYTES):
                block = Range(run.name, start, min(start + BLOCK_BYTES, run.end))
                blocks[block] = data[start - run.start : block.end - run.start]
                self._keep(block, blocks[block])
        rest = iter(found[len(runs) :])
        return [
            self._cut(wanted, blocks) if wanted.name in self._sizes else next(rest)
            for wanted in ranges
        ]

    def _blocks(self, wanted: Range) -> Iterator[Range]:
        if wanted.name in self._sizes and wanted.end > wanted.start:
            first = wanted.start // BLOCK_BYTES * BLOCK_BYTES
            # A range beyond the object's end reaches the store unchanged, which refuses it.
            end = max(self._sizes[wanted.name], wanted.end)
            for start in range(first, wanted.end, BLOCK_BYTES):
                yield Range(wanted.name, start, min(start + BLOCK_BYTES, end))

    def _cut(self, wanted: Range, blocks: Mapping[Range, bytes]) -> bytes:
        return b"".join(
            blocks[block][max(0, wanted.start - block.start) : wanted.end - block.start]
            for block in self._blocks(wanted)
        )

    def _path(self, block: Range) -> Path:
        name = f"{self._identity}\0{block.name}\0{block.start}\0{block.end}"
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self._folder / digest[:2] / digest

    def _load(self, block: Range) -> bytes:
        """A block from disk; `_MISSING` if its file is absent, corrupt or unreadable."""
        path = self._path(block)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return _MISSING
        except OSError as error:
            self._disable(error)
            return _MISSING
        digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if len(data) != block.end - block.start or hashlib.sha256(data).digest() != digest:
            log.warning("a block of %s in %s is corrupt; fetching it again", block.name, path)
            return _MISSING
        try:
            os.utime(path)  # the least recently used files are evicted first
        except FileNotFoundError:
            log.debug("%s was evicted while it was read", path)
        return data

    def _keep(self, block: Range, data: bytes) -> None:
        content = hashlib.sha256(data).digest() + data
        if not self._is_writable or len(content) > self._most_bytes:
            return
        path = self._path(block)
        temporary = path.with_name(f".{uuid4().hex}")
        try:
            with _locked(self._folder) as size_file:
                _make_room(self._folder, size_file, len(content), self._most_bytes)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(content)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            self._disable(error)

    def _disable(self, error: OSError) -> None:
        self._is_writable = False
        log.warning("this worker stops using data.cache_dir: %s", error)


def _runs(blocks: Sequence[Range]) -> list[Range]:
    """The blocks, with adjacent ones joined."""
    runs: list[Range] = []
    for block in sorted(blocks):
        if runs and runs[-1].name == block.name and runs[-1].end == block.start:
            runs[-1] = runs[-1]._replace(end=block.end)
        else:
            runs.append(block)
    return runs


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """Exclude all other processes of the node; yields the file with the folder's size in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed or the process ends
        yield folder / "size"


def _make_room(folder: Path, size_file: Path, needed: int, most: int) -> None:
    """Add `needed` bytes to the recorded size; first evict the least recently used files if needed.

    A process that ends before it writes the bytes leaves the recorded size too large. The next
    eviction corrects it.
    """
    try:
        size = int(size_file.read_text())
    except (FileNotFoundError, ValueError):
        size = most  # unknown: measure below
    if size + needed > most:
        # Only our own: the folder may hold other files, too.
        files = [path for path in folder.glob("??/*") if _OURS.fullmatch(path.name)]
        stats = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in files)
        size = sum(entry[1] for entry in stats)
        for _, freed, path in stats:
            if size + needed <= most * _KEPT_RATIO or size == 0:
                break
            path.unlink(missing_ok=True)
            size -= freed
    size_file.write_text(str(size + needed))
