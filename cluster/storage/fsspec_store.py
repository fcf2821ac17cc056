"""A folder of any filesystem that fsspec knows as a store: `gs://BUCKET/PREFIX`, `az://…`."""

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ganinv.errors import (
    GanInvError,
    StorageError,
    StorageExistsError,
    StorageMissingError,
    StorageUnavailableError,
)
from ganinv.places.filesystems import open_filesystem
from ganinv.places.names import check_name
from ganinv.seams.stores import Blobs, Entries, Entry, Range

T = TypeVar("T")
_GONE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
# Some filesystems look, and then write: threads of one process at least must not come between.
_CREATING = threading.Lock()


class FsspecStore:
    """The objects below `url`. See `seams.Store`.

    How often a request is repeated is its driver's matter. Whether a write is visible as a whole
    only, and whether creating is exclusive, is that of the filesystem: object stores keep both
    promises, servers of files (sftp, hdfs) may not, and
    `cluster.storage.opening.probe` tries the second.
    """

    def __init__(self, url: str) -> None:
        """Raises `ConfigError` if the driver is not installed."""
        self._url = url
        self._opened = (os.getpid(), *open_filesystem(url))

    def __reduce__(self) -> tuple[type["FsspecStore"], tuple[str]]:
        return FsspecStore, (self._url,)

    @property
    def url(self) -> str:
        return self._url

    def list(self, prefix: str = "") -> Entries:
        filesystem, root = self._filesystem
        folder = f"{root}/{prefix}".rpartition("/")[0]

        def find() -> Entries:
            filesystem.invalidate_cache()
            try:
                found = filesystem.find(folder, detail=True, withdirs=False)
            except _GONE:
                return []
            return [Entry(at[len(root) + 1 :], int(facts["size"])) for at, facts in found.items()]

        entries = self._told("list", prefix, find)
        return sorted(entry for entry in entries if entry.name.startswith(prefix))

    def read(self, name: str) -> bytes:
        path = self._path(name)
        found: bytes = self._told("read", name, lambda: self._filesystem[0].cat_file(path))
        return found

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        # Empty ranges mean the whole object to some filesystems.
        wanted = [part for part in ranges if part.end > part.start]
        paths = [self._path(part.name) for part in wanted]
        starts, ends = [part.start for part in wanted], [part.end for part in wanted]
        names = ", ".join(sorted({part.name for part in wanted})[:3])
        found = iter(
            self._told(
                "read",
                names,
                lambda: self._filesystem[0].cat_ranges(paths, starts, ends, on_error="raise"),
            )
            if wanted
            else ()
        )
        blobs = [next(found) if part.end > part.start else b"" for part in ranges]
        for part, blob in zip(ranges, blobs, strict=True):
            if len(blob) != part.end - part.start:
                raise StorageError(
                    f"{self._url}: {len(blob)} of the {part.end - part.start} bytes from"
                    f" {part.start} to {part.end} of {part.name!r} came; restore or rebuild it"
                )
        return blobs

    def write(self, name: str, data: bytes | memoryview | Path) -> None:
        path, filesystem = self._path(name), self._filesystem[0]
        if isinstance(data, Path):
            self._told("write", name, lambda: filesystem.put_file(str(data), path))
        else:
            self._told("write", name, lambda: filesystem.pipe_file(path, bytes(data)))

    def write_if_absent(self, name: str, data: bytes) -> None:
        path, filesystem = self._path(name), self._filesystem[0]

        def create() -> None:
            if filesystem.async_impl:
                filesystem.pipe_file(path, data, mode="create")
                return
            # Their `pipe_file` only looks before it writes.
            with _CREATING, filesystem.open(path, "xb") as file:
                file.write(data)

        self._told("create", name, create)

    def delete(self, names: Sequence[str]) -> None:
        paths = [self._path(name) for name in names]
        filesystem = self._filesystem[0]

        def remove(path: str) -> None:
            try:
                filesystem.rm_file(path)
            except _GONE:
                return

        for name, path in zip(names, paths, strict=True):
            self._told("delete", name, partial(remove, path))

    def _path(self, name: str) -> str:
        check_name(self._url, name)
        return f"{self._filesystem[1]}/{name}"

    @property
    def _filesystem(self) -> tuple[Any, str]:
        """The filesystem and our root in it."""
        # In a forked child the inherited client's event loop stands still: it needs its own.
        if self._opened[0] != os.getpid():
            self._opened = (os.getpid(), *open_filesystem(self._url))
        return self._opened[1:]

    def _told(self, verb: str, name: str, work: Callable[[], T]) -> T:
        """`work()`, with whatever it raises as one of our errors."""
        what = f"{self._url}: cannot {verb} {name!r}"
        try:
            return work()
        except GanInvError:
            raise
        except FileExistsError as error:
            raise StorageExistsError(
                f"{self._url}: {name!r} exists already; somebody else was first"
            ) from error
        except Exception as error:  # drivers raise the classes of their own libraries
            if verb == "read" and isinstance(error, _GONE):
                raise StorageMissingError(
                    f"{what}: there is no such object; check storage.run and data.url"
                ) from error
            passing = isinstance(error, (ConnectionError, TimeoutError))
            kind = StorageUnavailableError if passing else StorageError
            raise kind(
                f"{what}: {type(error).__name__}: {error}; check the place, the network and the"
                " credentials that the filesystem's driver takes from the environment"
            ) from error
