"""A store whose large objects are kept on local disk, too, shared by the workers of a node.

Objects are cut into blocks, each a file of its own that starts with the SHA-256 of the rest, so
that no crash and no bad disk can show up as data. The cache may be deleted at any time.
"""

import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from ganinv.seams.stores import Blobs, Entries, Range, Store

log = logging.getLogger(__name__)
BLOCK_BYTES = 2**20
_DIGEST_BYTES = 32
_KEPT_RATIO = 0.9  # of the limit, after making room
_MISSING = b""


class CachedStore:
    """Passes every verb on to `store`, but for ranges of the objects that `sizes` names.

    These must never change. `identity` tells them from others of the same names in `folder`.
    """

    def __init__(
        self, store: Store, folder: Path, most_bytes: int, identity: str, sizes: Mapping[str, int]
    ) -> None:
        """`most_bytes`: what the folder holds at most, of all stores that use it together."""
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
        for run, data in zip(runs, found, strict=False):  # the rest was not cut into blocks
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
            # A range that ends beyond the object is asked for as it is, and refused as it must be.
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
        """A block from disk; `_MISSING` if it is not there as it was written."""
        path = self._path(block)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return _MISSING
        except OSError as error:
            self._give_up(error)
            return _MISSING
        digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if len(data) != block.end - block.start or hashlib.sha256(data).digest() != digest:
            log.warning("a block of %s in %s is damaged; it is fetched again", block.name, path)
            return _MISSING
        try:
            os.utime(path)  # the least recently used ones go first
        except FileNotFoundError:
            log.debug("%s was evicted as it was read", path)
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
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._is_writable = False
        log.warning("data.cache_dir is not used any more on this worker: %s", error)


def _runs(blocks: Sequence[Range]) -> list[Range]:
    """The blocks, neighbours joined."""
    runs: list[Range] = []
    for block in sorted(blocks):
        if runs and runs[-1].name == block.name and runs[-1].end == block.start:
            runs[-1] = runs[-1]._replace(end=block.end)
        else:
            runs.append(block)
    return runs


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """Alone among all processes of the node; yields the file with the folder's size in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go as the file is closed, or the process dies
        yield folder / "size"


def _make_room(folder: Path, size_file: Path, needed: int, most: int) -> None:
    """Count `needed` more bytes; before that, delete what was not used longest if need be.

    A process that dies before it writes what it counted leaves the size too large, which the next
    deletion mends.
    """
    try:
        size = int(size_file.read_text())
    except (FileNotFoundError, ValueError):
        size = most  # unknown: count
    if size + needed > most:
        files = [path for path in folder.glob("??/*") if path.is_file()]
        stats = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in files)
        size = sum(entry[1] for entry in stats)
        for _, freed, path in stats:
            if size + needed <= most * _KEPT_RATIO or size == 0:
                break
            path.unlink(missing_ok=True)
            size -= freed
    size_file.write_text(str(size + needed))
