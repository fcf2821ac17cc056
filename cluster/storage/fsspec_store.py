"""A folder in any filesystem of fsspec as a store: `gs://BUCKET/PREFIX`, `az://…`."""

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
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
from ganinv.places.explaining import other_remedy
from ganinv.places.filesystems import open_filesystem
from ganinv.places.names import check_name
from ganinv.seams.stores import Blobs, Entries, Entry, Range

T = TypeVar("T")
_GONE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
# Some filesystems check and then write. Threads of this process must not interleave there.
_CREATING = threading.Lock()


class FsspecStore:
    """Implements `seams.stores.Store` for the objects below `url`.

    The driver decides how often a request is retried. The filesystem decides whether writes are
    atomic and whether creating is exclusive: object stores guarantee both, file servers (sftp,
    hdfs) may not. `cluster.storage.opening.probe` checks that creating is exclusive.
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
            return [
                Entry(at[len(root) + 1 :], int(facts["size"]), _version(facts))
                for at, facts in found.items()
            ]

        entries = self._translating_errors("list", prefix, find)
        return sorted(entry for entry in entries if entry.name.startswith(prefix))

    def read(self, name: str) -> bytes:
        path = self._path(name)
        found: bytes = self._translating_errors(
            "read", name, lambda: self._filesystem[0].cat_file(path)
        )
        return found

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        # Some filesystems read the whole object for an empty range.
        wanted = [each for each in ranges if each.end > each.start]
        paths = [self._path(each.name) for each in wanted]
        starts, ends = [each.start for each in wanted], [each.end for each in wanted]
        names = ", ".join(sorted({each.name for each in wanted})[:3])
        found = iter(
            self._translating_errors(
                "read",
                names,
                lambda: self._filesystem[0].cat_ranges(paths, starts, ends, on_error="raise"),
            )
            if wanted
            else ()
        )
        blobs = [next(found) if each.end > each.start else b"" for each in ranges]
        for each, blob in zip(ranges, blobs, strict=True):
            if len(blob) != each.end - each.start:
                raise StorageError(
                    f"{self._url}: received {len(blob)} of the {each.end - each.start} bytes from "
                    f"{each.start} to {each.end} of {each.name!r}; restore or rebuild the object"
                )
        return blobs

    def write(self, name: str, data: bytes | memoryview | Path) -> None:
        path, filesystem = self._path(name), self._filesystem[0]
        if isinstance(data, Path):
            self._translating_errors("write", name, lambda: filesystem.put_file(str(data), path))
        else:
            self._translating_errors("write", name, lambda: filesystem.pipe_file(path, bytes(data)))

    def write_if_absent(self, name: str, data: bytes) -> None:
        path, filesystem = self._path(name), self._filesystem[0]

        def create() -> None:
            if filesystem.async_impl:
                filesystem.pipe_file(path, data, mode="create")
                return
            # `pipe_file` of synchronous filesystems checks first and writes later.
            with _CREATING, filesystem.open(path, "xb") as file:
                file.write(data)

        self._translating_errors("create", name, create)

    def delete(self, names: Sequence[str]) -> None:
        paths = [self._path(name) for name in names]
        filesystem = self._filesystem[0]

        def remove(path: str) -> None:
            try:
                filesystem.rm_file(path)
            except _GONE:
                return

        for name, path in zip(names, paths, strict=True):
            self._translating_errors("delete", name, partial(remove, path))

    def _path(self, name: str) -> str:
        check_name(self._url, name)
        return f"{self._filesystem[1]}/{name}"

    @property
    def _filesystem(self) -> tuple[Any, str]:
        """The filesystem and the path of our root in it."""
        # A forked child needs its own client: the event loop of the inherited one does not run.
        if self._opened[0] != os.getpid():
            self._opened = (os.getpid(), *open_filesystem(self._url))
        return self._opened[1:]

    def _translating_errors(self, verb: str, name: str, work: Callable[[], T]) -> T:
        """The result of `work`; whatever it raises is raised as a `StorageError`."""
        what = f"{self._url}: cannot {verb} {name!r}"
        try:
            return work()
        except GanInvError:
            raise
        except FileExistsError as error:
            raise StorageExistsError(
                f"{self._url}: {name!r} exists already; another writer was first"
            ) from error
        except Exception as error:  # drivers raise the classes of their own libraries
            if verb == "read" and isinstance(error, _GONE):
                raise StorageMissingError(
                    f"{what}: there is no such object; check storage.run and data.url"
                ) from error
            passing = isinstance(error, (ConnectionError, TimeoutError))
            kind = StorageUnavailableError if passing else StorageError
            raise kind(f"{what}: {type(error).__name__}: {error}; {other_remedy(error)}") from error


def _version(facts: Mapping[str, Any]) -> str:
    """A hash of all that the filesystem says of a file, as `AbstractFileSystem.ukey` makes it."""
    return hashlib.sha256(repr(sorted(facts.items())).encode()).hexdigest()[:32]
