"""A directory on disk as a store. Writes are atomic, and durable once they have returned."""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from uuid import uuid4

from ganinv.errors import (
    StorageError,
    StorageExistsError,
    StorageFullError,
    StorageMissingError,
)
from ganinv.places.names import TEMPORARY_PREFIX, check_name
from ganinv.places.walking import files_below, is_file
from ganinv.seams.stores import Blobs, Entries, Entry, Range

# How often a write recreates its directory when concurrent deletions keep removing it.
_DIRECTORY_ATTEMPTS = 10
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class LocalStore:
    """Implements `seams.stores.Store` in the directory `url`, which the first write creates.

    `url` is an absolute path.
    """

    url: str

    def list(self, prefix: str = "") -> Entries:
        folder = prefix.rpartition("/")[0]
        found = []
        with self._errors("list", prefix):
            if folder:
                check_name(self.url, folder)
            for file in files_below(Path(self.url, folder), on_error=_raise_unless_gone):
                name = Path(file.path).relative_to(self.url).as_posix()
                if not name.startswith(prefix) or file.name.startswith(TEMPORARY_PREFIX):
                    continue
                # A pipe or a device is no object: reading it could wait for ever. Links to nothing,
                # and files deleted after their directory was read, are no files any more.
                with suppress(FileNotFoundError):
                    if is_file(file):
                        facts = file.stat()
                        version = f"{facts.st_mtime_ns}-{facts.st_ino}"
                        found.append(Entry(name, facts.st_size, version))
        return sorted(found)

    def read(self, name: str) -> bytes:
        with self._errors("read", name):
            return self._path(name).read_bytes()

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        blobs: Blobs = []
        for name, of_one_object in groupby(ranges, key=lambda wanted: wanted.name):
            with self._errors("read", name), self._path(name).open("rb", buffering=0) as file:
                blobs.extend(self._read_range(file.fileno(), wanted) for wanted in of_one_object)
        return blobs

    def _read_range(self, descriptor: int, wanted: Range) -> bytes:
        chunks = []
        position = wanted.start
        while position < wanted.end:
            chunk = os.pread(descriptor, wanted.end - position, position)
            if not chunk:
                raise StorageError(
                    f"{self.url}: {wanted.name!r} ends at byte {position}, but bytes "
                    f"{wanted.start} to {wanted.end} were expected; restore or rebuild the object"
                )
            chunks.append(chunk)
            position += len(chunk)
        return b"".join(chunks)

    def write(self, name: str, data: bytes | memoryview | Path) -> None:
        with self._errors("write", name):
            self._commit(name, data, os.replace)

    def write_if_absent(self, name: str, data: bytes) -> None:
        def link(temporary: Path, target: Path) -> None:
            try:
                os.link(temporary, target)
            except FileExistsError as error:
                raise StorageExistsError(
                    f"{self.url}: {name!r} exists already; another writer was first"
                ) from error

        with self._errors("write", name):
            self._commit(name, data, link)

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            with self._errors("delete", name):
                path = self._path(name)
                try:
                    path.unlink(missing_ok=True)
                except NotADirectoryError:
                    continue  # a parent is an object, so the name cannot exist
                self._prune(path.parent)

    def remove_unfinished(self) -> None:
        """Remove the unfinished files of killed writers. No listing shows such files."""
        with self._errors("clear", ""):
            for path in list(Path(self.url).rglob(f"{TEMPORARY_PREFIX}*")):
                if _is_abandoned(path):
                    path.unlink(missing_ok=True)
                    self._prune(path.parent)

    def _prune(self, directory: Path) -> None:
        """Remove directories that became empty: on S3, a prefix without objects does not exist."""
        while directory != Path(self.url):
            try:
                directory.rmdir()
            except FileNotFoundError:
                pass  # a concurrent deletion removed it
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    return  # ENOTDIR: a link to a directory, which stays
                raise
            directory = directory.parent

    def _commit(
        self, name: str, data: bytes | memoryview | Path, publish: Callable[[Path, Path], None]
    ) -> None:
        target = self._path(name)
        try:
            temporary = self._fill_temporary(target.parent, data)
        except OSError as error:
            if error.errno in _FULL:
                self.remove_unfinished()  # to make room for the next attempt
            raise
        try:
            publish(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        # The directory entries must survive a power failure, as the bytes do.
        for directory in [target.parent, *target.parent.parents]:
            _sync_directory(directory)
            if directory == Path(self.url):
                break

    def _fill_temporary(self, directory: Path, data: bytes | memoryview | Path) -> Path:
        temporary = directory / f"{TEMPORARY_PREFIX}{uuid4().hex}"
        descriptor = _create(temporary)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor has no path)
                with suppress(OSError):  # without locks, no unfinished file is ever removed
                    fcntl.flock(file, fcntl.LOCK_SH)  # until it is closed or this process ends
                if isinstance(data, Path):
                    with data.open("rb") as source:
                        shutil.copyfileobj(source, file, 1 << 20)
                else:
                    file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary

    def _path(self, name: str) -> Path:
        check_name(self.url, name)
        return Path(self.url, name)

    @contextmanager
    def _errors(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"{self.url}: cannot {verb} {name!r}"
            own = Path(self.url, name)
            gone = isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError))
            if verb == "read" and gone:
                raise StorageMissingError(
                    f"{reason}: there is no such object; check storage.run and data.url"
                ) from error
            kind = StorageFullError if error.errno in _FULL else StorageError
            about = "" if error.filename in (None, str(own)) else f" ({error.filename})"
            raise kind(
                f"{reason}: {error.strerror or error}{about}; "
                "make the directory writable, free space on its disk, or choose another directory"
            ) from error


def _create(path: Path) -> int:
    """Create a file, and its directory if missing; returns a descriptor for writing."""
    for attempt in range(_DIRECTORY_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except (FileNotFoundError, FileExistsError):  # a concurrent deletion can cause both
            if attempt == _DIRECTORY_ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _is_abandoned(path: Path) -> bool:
    """Whether the writer of the file has ended. A writer holds a lock until then."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, deleted meanwhile, or on a file system without locks
        return False
    return True


def _sync_directory(directory: Path) -> None:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # the object was deleted meanwhile, and its directory with it
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error
