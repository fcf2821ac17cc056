"""A store in a directory that counts what is read, and a small data set of avatars in one."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from datasets.building.build import build
from datasets.shards.index import Index
from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions, Sample
from ganinv.errors import StorageExistsError, StorageMissingError
from ganinv.seams.stores import Blobs, Entries, Entry, Range


class FolderStore:
    """The simplest implementation of the store protocol over a directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[str] = []
        self.requests = 0
        self.read_bytes = 0

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def list(self, prefix: str = "") -> Entries:
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        entries = [
            Entry(
                p.relative_to(self.folder).as_posix(), p.stat().st_size, str(p.stat().st_mtime_ns)
            )
            for p in files
        ]
        return sorted(entry for entry in entries if entry.name.startswith(prefix))

    def read(self, name: str) -> bytes:
        try:
            data = (self.folder / name).read_bytes()
        except FileNotFoundError as problem:
            raise StorageMissingError(f"{self.url}/{name} does not exist") from problem
        return self._counted(data)

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        return [self._range(item) for item in ranges]

    def write(self, name: str, data: bytes | Path) -> None:
        self.written.append(name)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.read_bytes())

    def write_if_absent(self, name: str, data: bytes) -> None:
        if (self.folder / name).exists():
            raise StorageExistsError(f"{self.url}/{name} exists already")
        self.write(name, data)

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def _range(self, item: Range) -> bytes:
        with (self.folder / item.name).open("rb") as file:
            file.seek(item.start)
            return self._counted(file.read(item.end - item.start))

    def _counted(self, data: bytes) -> bytes:
        self.requests += 1
        self.read_bytes += len(data)
        return data


@dataclass(frozen=True, kw_only=True)
class Faces:
    """A data set of 280 training and 40 test avatars of 16 × 16 pixels, in shards of 64."""

    store: FolderStore
    index: Index
    options: BuildOptions
    source: AvatarSource
    samples: Sequence[Sample]  # of the source


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[[str], FolderStore]:
    """Makes empty stores in the directory of the test."""

    def make(name: str) -> FolderStore:
        folder = tmp_path / name
        folder.mkdir()
        return FolderStore(folder)

    return make


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Faces:
    """Built once for all tests, which must not change it."""
    options = BuildOptions(images=320, resolution=16, seed=7)
    source = AvatarSource(options)
    store = FolderStore(tmp_path_factory.mktemp("faces"))
    return Faces(
        store=store,
        index=build(source, store, options),
        options=options,
        source=source,
        samples=list(source.samples()),
    )


@pytest.fixture
def faces_copy(faces: Faces, make_store: Callable[[str], FolderStore]) -> Faces:
    """A copy of the data set that a test may change, with its own counts of requests."""
    store = make_store("faces")
    for entry in faces.store.list():
        store.write(entry.name, (faces.store.folder / entry.name).read_bytes())
    return replace(faces, store=store)


@pytest.fixture
def no_thread_left() -> Callable[[], bool]:
    """Whether all threads that the test started have ended."""
    before = set(threading.enumerate())
    return lambda: set(threading.enumerate()) <= before
