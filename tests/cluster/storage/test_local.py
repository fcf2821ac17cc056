"""Faults that only directories have: full disks, closed directories, crashes, pruning."""

import errno
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from cluster.storage.opening import open_store, remove_unfinished
from ganinv.errors import StorageError, StorageExistsError, StorageFullError
from ganinv.places.names import TEMPORARY_PREFIX
from ganinv.seams.stores import Entry


def test_all_spellings_of_a_directory_open_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    open_store("a b").write("x", b"1")
    for url in [f"{tmp_path}/a b/", f"file://{tmp_path}/a%20b", "~/a b", "./c/../a b"]:
        store = open_store(url)
        assert store.read("x") == b"1"
        assert store.url == f"{tmp_path}/a b"


def test_opening_and_reading_create_nothing(tmp_path: Path) -> None:
    assert open_store(str(tmp_path / "new")).list() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO])
def test_a_failing_disk_leaves_the_old_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    store = open_store(str(tmp_path))
    store.write("folder/x", b"old")

    def fail(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(StorageError) as caught:
            store.write("folder/x", b"new")
    message = str(caught.value)
    assert os.strerror(number) in message
    assert str(tmp_path) in message
    assert "folder/x" in message
    assert "choose another" in message
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["x"]
    assert store.read("folder/x") == b"old"


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = open_store(str(tmp_path / "file"))
    with pytest.raises(StorageError, match="choose another"):
        store.write("x", b"1")
    with pytest.raises(StorageError, match="choose another"):
        store.write_if_absent("x", b"1")


@pytest.mark.parametrize("verb", ["write", "write_if_absent"])
def test_a_crash_before_an_object_gets_its_name_leaves_nothing_visible(
    tmp_path: Path, verb: str
) -> None:
    store = open_store(str(tmp_path))
    store.write("ck/part", b"old")

    def crash() -> None:
        def die(*_: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        os.replace = os.link = die  # type: ignore[assignment] # only in this doomed child
        write: Callable[[str, bytes], None] = getattr(open_store(str(tmp_path)), verb)
        write("ck/manifest.json", b"new")

    child = multiprocessing.get_context("fork").Process(target=crash)
    child.start()
    child.join(timeout=30)
    assert child.exitcode == -signal.SIGKILL
    assert len(list((tmp_path / "ck").iterdir())) == 2  # the unfinished file exists,
    assert store.list() == [Entry("ck/part", 3)]  # but no listing shows it,
    store.write_if_absent("ck/manifest.json", b"again")  # and it blocks no other writer
    with pytest.raises(StorageExistsError):
        store.write_if_absent("ck/manifest.json", b"third")


def test_files_of_killed_writers_are_removed_and_those_of_live_writers_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path / "run"))
    store.write("ck/part", b"old")
    abandoned = tmp_path / "run" / "gone" / f"{TEMPORARY_PREFIX}1"
    abandoned.parent.mkdir()
    abandoned.write_bytes(b"half")
    fsync, removed = os.fsync, []

    def meanwhile(descriptor: int) -> None:
        if not removed:
            removed.append(remove_unfinished(store))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    store.write("ck/new", b"new")
    assert not abandoned.parent.exists()
    assert store.read("ck/new") == b"new"
    assert store.read("ck/part") == b"old"


def test_a_full_disk_has_its_own_error_and_is_cleared_of_unfinished_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned = tmp_path / "gone" / f"{TEMPORARY_PREFIX}1"
    abandoned.parent.mkdir()
    abandoned.write_bytes(b"half")

    def full(descriptor: int) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFullError, match=r"No space left.*free space"):
        open_store(str(tmp_path)).write("x", b"1")
    assert list(tmp_path.iterdir()) == []


def test_emptied_folders_vanish_even_during_concurrent_writes(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    errors: list[StorageError] = []

    def churn(worker: int) -> None:
        for turn in range(40):
            try:
                store.write(f"a/b/{worker}-{turn}", b"x")
                store.delete([f"a/b/{worker}-{turn}"])
            except StorageError as error:
                errors.append(error)

    threads = [threading.Thread(target=churn, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    assert list(tmp_path.iterdir()) == []


def test_linked_directories_are_listed_and_pipes_are_not(tmp_path: Path) -> None:
    """Reading a pipe would wait for ever."""
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.tar").write_bytes(b"1234")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "far")
    (root / "loop").symlink_to(root)
    (root / "gone.tar").symlink_to(tmp_path / "missing")
    os.mkfifo(root / "pipe.tar")
    store = open_store(str(root))
    assert store.list() == [Entry("link/a.tar", 4)]
    assert store.list("link/") == [Entry("link/a.tar", 4)]
    assert store.read("link/a.tar") == b"1234"
    store.delete(["link/a.tar"])
    assert store.list() == []
    assert (root / "link").is_dir()
