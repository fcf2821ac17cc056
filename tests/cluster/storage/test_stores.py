"""The contract of every store; each test runs on every kind of store."""

import multiprocessing
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.storage.opening import open_store, probe
from ganinv.errors import StorageError, StorageExistsError, StorageMissingError
from ganinv.seams.stores import Entry, Range, Store

ODD_NAMES = [
    "a space/and + plus.txt",
    "ünï/文字/🎨.bin",
    "a%20b#c?d&e=f;g,h",
    "star*[x]{y}~'quote'\"double\"",
    "..hidden/...dots../.x",
    "UPPER/Upper/upper",
]


def test_what_is_written_is_read_listed_replaced_and_deleted(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file.bin"
    file.write_bytes(bytes(range(256)) * 5)
    store.write("b/file", file)
    store.write("b/empty", b"")
    store.write("a", b"first")
    store.write("a", b"second, longer")
    assert store.read("a") == b"second, longer"
    assert store.read("b/file") == file.read_bytes()
    assert store.read("b/empty") == b""
    assert store.list() == [Entry("a", 14), Entry("b/empty", 0), Entry("b/file", 1280)]
    store.delete(["a", "b/empty", "never there", "a/below an object"])
    assert store.list() == [Entry("b/file", 1280)]
    store.delete([])


def test_the_version_of_an_object_tells_that_it_was_replaced(store: Store) -> None:
    store.write("kept", b"same")
    store.write("changed", b"before")
    before = {entry.name: entry.version for entry in store.list()}
    assert {entry.name: entry.version for entry in store.list()} == before
    store.write("changed", b"after!")
    after = {entry.name: entry.version for entry in store.list()}
    assert after["kept"] == before["kept"] != ""
    assert after["changed"] != before["changed"]


def test_a_prefix_need_not_end_at_a_folder(store: Store) -> None:
    names = ["run/ck-1/m", "run/ck-10/m", "run/ck-2/m", "runs/x"]
    for name in names:
        store.write(name, b"x")

    def listed(prefix: str) -> list[str]:
        return [entry.name for entry in store.list(prefix)]

    assert listed("run") == names
    assert listed("run/") == names[:3]
    assert listed("run/ck-1") == names[:2]
    assert listed("run/ck-1/") == names[:1]
    assert listed("run/ck-1/m") == names[:1]
    assert listed("nothing/here") == []


def test_more_objects_than_a_page_holds(store: Store) -> None:
    expected = [Entry(f"many/{index:05d}", index % 7) for index in range(1050)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda entry: store.write(entry.name, b"x" * entry.size_bytes), expected))
    assert store.list("many/") == expected
    store.delete([entry.name for entry in expected])  # more than one request may delete
    assert store.list() == []


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_with_odd_characters(store: Store, name: str) -> None:
    store.write(name, name.encode())
    assert store.list() == [Entry(name, len(name.encode()))]
    assert store.list(name[:4]) == store.list()
    assert store.read(name) == name.encode()
    assert store.read_ranges([Range(name, 1, 3)]) == [name.encode()[1:3]]
    with pytest.raises(StorageExistsError):
        store.write_if_absent(name, b"")
    store.delete([name])
    assert store.list() == []


@pytest.mark.parametrize(
    "name", ["", "/a", "../a", "a/../b", "a//b", "a/", "./a", "a\0b", "a\\b", "a?versionId=b"]
)
def test_names_that_could_leave_the_store_are_refused(store: Store, name: str) -> None:
    verbs: list[Callable[[], object]] = [
        lambda: store.read(name),
        lambda: store.write(name, b"x"),
        lambda: store.write_if_absent(name, b"x"),
        lambda: store.delete([name]),
        lambda: store.read_ranges([Range(name, 0, 1)]),
    ]
    for verb in verbs:
        with pytest.raises(StorageError, match="cannot name an object"):
            verb()


def test_missing_objects(store: Store, tmp_path: Path) -> None:
    assert store.list() == []
    store.write("folder/object", b"x")
    for name in ["nothing", "folder", "folder/object/below", "folder/other"]:
        with pytest.raises(StorageMissingError, match="no such object"):
            store.read(name)
        with pytest.raises(StorageMissingError, match="no such object"):
            store.read_ranges([Range(name, 0, 1)])
    with pytest.raises(StorageError) as caught:
        store.write("copy", tmp_path / "no file")
    assert not isinstance(caught.value, StorageMissingError)
    assert store.list() == [Entry("folder/object", 1)]


def test_ranges_come_in_the_order_asked_for(store: Store) -> None:
    blobs = {f"r{index}": bytes((index + step) % 256 for step in range(1000)) for index in range(3)}
    for name, data in blobs.items():
        store.write(name, data)
    ranges = [
        Range(f"r{index % 3}", start, start + length)
        for index, (start, length) in enumerate(
            [(0, 1000), (999, 1), (0, 1), (5, 0), (1000, 0), (10, 500), (500, 500), (3, 30)]
        )
    ]
    assert store.read_ranges(ranges) == [
        blobs[wanted.name][wanted.start : wanted.end] for wanted in ranges
    ]
    assert store.read_ranges([]) == []


@pytest.mark.parametrize(("start", "end"), [(90, 101), (100, 101), (5000, 5001), (0, 1000)])
def test_a_short_answer_is_an_error(store: Store, start: int, end: int) -> None:
    store.write("hundred", bytes(100))
    with pytest.raises(StorageError, match=r"hundred.*restore or rebuild") as caught:
        store.read_ranges([Range("hundred", 0, 10), Range("hundred", start, end)])
    assert not isinstance(caught.value, StorageMissingError)


def test_one_of_twelve_racing_writers_wins(store: Store) -> None:
    writers, rounds = 12, 10
    barriers = [threading.Barrier(writers) for _ in range(rounds)]

    def wins(turn: int, writer: int) -> bool:
        barriers[turn].wait(timeout=30)
        try:
            store.write_if_absent(f"race/{turn}", str(writer).encode())
        except StorageExistsError:
            return False
        return True

    # All rounds at once, because the server may take a second to refuse a loser.
    with ThreadPoolExecutor(writers * rounds) as pool:
        races = [[pool.submit(wins, turn, w) for w in range(writers)] for turn in range(rounds)]
    for turn, race in enumerate(races):
        won = [attempt.result() for attempt in race]
        assert won.count(True) == 1
        assert store.read(f"race/{turn}") == str(won.index(True)).encode()


def test_a_taken_name_keeps_its_object(store: Store) -> None:
    store.write("taken", b"old")
    with pytest.raises(StorageExistsError, match="taken"):
        store.write_if_absent("taken", b"new")
    assert store.read("taken") == b"old"
    store.delete(["taken"])
    store.write_if_absent("taken", b"new")
    assert store.read("taken") == b"new"


def test_the_probe_leaves_nothing_behind(store: Store) -> None:
    probe(store)
    assert store.list() == []


def test_a_forked_child_does_not_share_the_parents_connection(store: Store) -> None:
    store.write("x", b"12")

    def read_inherited() -> None:
        assert store.read("x") == b"12"

    child = multiprocessing.get_context("fork").Process(target=read_inherited)
    child.start()
    child.join(timeout=60)
    assert child.exitcode == 0
    assert store.read("x") == b"12"


@pytest.mark.integration
def test_a_store_works_in_a_fresh_process(store: Store) -> None:
    if store.url.startswith("memory:"):
        pytest.skip("exists only in the memory of one process")
    store.write("x", b"12")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(store.list).result(timeout=60) == [Entry("x", 2)]


def test_a_store_pickles(store: Store) -> None:
    store.write("x", b"12")
    again = pickle.loads(pickle.dumps(store))  # noqa: S301 (our own bytes)
    assert again.url == store.url == open_store(store.url).url
    assert again.read("x") == b"12"
